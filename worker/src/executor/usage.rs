//! What the process uses, and which machine it is on, as the kernel tells it in `/proc`.

/// The kernel counts processor time in hundredths of a second, on every Linux that Pyrite runs on.
const TICK_MICROS: u64 = 10_000;
const PAGE_BYTES: u64 = 4096;

/// Bytes of memory in use by the process; 0 when the kernel does not tell.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
}

/// Processor time of the process in microseconds; 0 when the kernel does not tell.
pub fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces.
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks() + ticks()) * TICK_MICROS
}

/// The same for all processes of one running machine, and for no others.
pub fn machine_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_uses_something() {
        assert!(resident_bytes() > 1 << 20);
        let start = std::time::Instant::now();
        while cpu_micros() == 0 {
            assert!(start.elapsed().as_secs() < 30, "the processor time stays zero");
            std::hint::black_box(std::fs::read_to_string("/proc/self/stat").ok());
        }
        assert!(machine_id().len() > 16, "{}", machine_id());
    }
}
