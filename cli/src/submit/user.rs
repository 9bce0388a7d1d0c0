//! Who submits: the name that the master shows.

use std::os::unix::fs::MetadataExt;

/// `SPARK_USER`, else the login name, else the owner of this process as the system's user list has it.
pub(super) fn name(variable: impl Fn(&str) -> Option<String>) -> String {
    let said =
        ["SPARK_USER", "USER", "LOGNAME"].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let listed = || {
        let uid = std::fs::metadata("/proc/self").ok()?.uid();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        Some(of_uid(&users, uid).unwrap_or_else(|| uid.to_string()))
    };
    said.or_else(listed).unwrap_or_else(|| "unknown".to_owned())
}

/// The name with this number in a text of the form of `/etc/passwd`.
fn of_uid(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_over_the_user_list() {
        assert_eq!(name(|key| (key == "USER").then(|| "ada".to_owned())), "ada");
        assert_ne!(name(|_| None), "");
        let users = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(of_uid(users, 1_000).as_deref(), Some("ada"));
        assert_eq!(of_uid(users, 7), None);
    }
}
