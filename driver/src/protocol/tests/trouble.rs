//! Drivers that were overtaken, sources that fail, and rows that the driver could not keep.

use pyrite_common::checkpoint::TermFile;

use super::*;

fn claim(driver: &str) -> Body {
    let file =
        TermFile { driver: driver.into(), nonce: driver.into(), host: "far".into(), app: "other".into(), time_ms: 0 };
    Body::Term(file)
}

/// Wakes the machine whenever it asked for that, for so long.
fn idle_for(world: &mut World, machine: &mut QueryMachine, duration_us: i64) {
    let end_us = world.now_us + duration_us;
    while world.now_us < end_us && world.ending.is_none() {
        world.now_us += 100_000;
        world.apply(machine, Event::Wake);
    }
}

#[test]
fn an_idle_driver_notices_that_another_has_its_checkpoint() {
    for trigger in [Trigger::Default, Trigger::ProcessingTime(Duration::from_secs(600))] {
        let mut world = World { latest: vec![10], now_us: 12_000_000, ..World::default() };
        let mut machine = started(&mut world, QuerySpec { trigger, watermarks: vec![], ..spec("old") });
        world.prepare(&mut machine, None);
        idle_for(&mut world, &mut machine, 60_000_000);
        assert_eq!((&world.ending, machine.status().phase), (&None, Phase::Idle), "nobody else is there");
        // Terms in between are collected.
        world.objects.insert(LogName::Term(9), claim("new"));
        idle_for(&mut world, &mut machine, 10_000_000);
        let Some(Ending::Superseded(fault)) = &world.ending else { panic!("{trigger:?}: {:?}", world.ending) };
        assert!(fault.message.contains("`other on far` with term 9"), "{}", fault.message);
    }
}

#[test]
fn a_driver_whose_sources_do_not_answer_notices_too() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger: Trigger::Default, watermarks: vec![], ..spec("old") });
    world.prepare(&mut machine, None);
    world.now_us += 20_000;
    let actions = machine.apply(world.now_us, Event::Wake);
    let Some(Action::Wake { at_us }) = actions.last() else { panic!("it wants to be woken: {actions:?}") };
    world.objects.insert(LogName::Term(2), claim("new"));
    world.now_us = *at_us;
    world.apply(&mut machine, Event::Wake);
    assert!(matches!(world.ending, Some(Ending::Superseded(_))), "{:?}", world.ending);
}

#[test]
fn a_plan_is_not_made_under_a_higher_term_however_much_higher() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger: Trigger::Default, watermarks: vec![], ..spec("old") });
    world.prepare(&mut machine, None);
    world.objects.insert(LogName::Term(40), claim("new"));
    world.latest = vec![20];
    world.now_us += 20_000;
    world.apply(&mut machine, Event::Wake);
    assert!(matches!(world.ending, Some(Ending::Superseded(_))), "{:?}", world.ending);
    assert!(!world.objects.contains_key(&LogName::Offsets(1)));
}

#[test]
fn a_claim_of_a_number_that_was_collected_counts_for_nothing() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = QueryMachine::new(spec("slow"));
    // It looks at an empty checkpoint and sleeps; meanwhile many come, and the first are collected.
    let mut events = VecDeque::from([Event::Start]);
    while let Some(event) = events.pop_front() {
        for action in machine.apply(1, event) {
            let is_claim =
                matches!(&action, Action::Store { ask: StoreRequest::Create { name: LogName::Term(1), .. }, .. });
            if is_claim {
                world.objects.insert(LogName::Term(30), claim("new"));
            }
            world.perform(action, &mut events);
        }
    }
    assert!(world.objects.contains_key(&LogName::Term(1)));
    assert!(
        matches!(&world.ending, Some(Ending::Superseded(fault)) if fault.message.contains("term 30")),
        "{:?}",
        world.ending
    );
    assert!(!world.objects.contains_key(&LogName::SourceStart(0)), "it wrote nothing");
}

#[test]
fn rows_that_were_lost_come_with_another_attempt() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    for _ in 0..20 {
        let (_, run) = world.runs.pop_front().expect("a batch runs");
        let lost = Event::RowsLost { batch: 0, attempt: run.attempt, problem: "disk full".into() };
        world.apply(&mut machine, lost.clone());
        assert!(world.commands.iter().any(|(_, command)| *command == Command::Abort { attempt: run.attempt }));
        // Said twice it counts once.
        world.apply(&mut machine, lost);
        assert!(world.runs.is_empty() && world.ending.is_none(), "it backs off");
        world.now_us += 6_000_000;
        world.apply(&mut machine, Event::Wake);
    }
    world.prepare(&mut machine, None);
    assert_eq!((world.sunk.as_slice(), &world.ending), ([0].as_slice(), &Some(Ending::Finished)));
}

#[test]
fn rows_that_are_lost_at_the_sink_come_with_another_attempt() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    let (from, run) = world.runs.pop_front().expect("a batch runs");
    let prepared = Event::Prepared { from, batch: 0, attempt: run.attempt, report: Box::default() };
    let actions = machine.apply(world.now_us, prepared);
    assert!(actions.contains(&Action::RunSink { batch: 0, attempt: run.attempt }));
    world.apply(&mut machine, Event::RowsLost { batch: 0, attempt: run.attempt, problem: "disk full".into() });
    assert_eq!((machine.status().phase, &world.ending), (Phase::Run, &None));
    world.now_us += 6_000_000;
    world.apply(&mut machine, Event::Wake);
    let again = world.prepare(&mut machine, None);
    assert!(again.attempt > run.attempt);
    assert_eq!((world.sunk.as_slice(), &world.ending), ([0].as_slice(), &Some(Ending::Finished)));
}

#[test]
fn a_driver_that_was_overtaken_while_its_batch_ran_puts_nothing_out() {
    for overtaken in [false, true] {
        let mut world = World { latest: vec![10], ..World::default() };
        let mut machine = started(&mut world, QuerySpec { watermarks: vec![], ..spec("old") });
        world.now_us += 20_000_000;
        if overtaken {
            world.objects.insert(LogName::Term(2), claim("new"));
        }
        world.prepare(&mut machine, None);
        assert_eq!(world.sunk.is_empty(), overtaken);
        assert_eq!(matches!(world.ending, Some(Ending::Superseded(_))), overtaken, "{:?}", world.ending);
    }
}

#[test]
fn a_source_that_fails_for_good_lets_what_was_put_out_be_committed() {
    let fatal = || Event::SourceFailed { fault: Fault::new("records are gone"), fatal: true };
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger: Trigger::Default, watermarks: vec![], ..spec("d") });
    let (from, run) = world.runs.pop_front().expect("a batch runs");
    let prepared = Event::Prepared { from, batch: 0, attempt: run.attempt, report: Box::default() };
    machine.apply(world.now_us, prepared);
    assert_eq!(machine.status().phase, Phase::Publish);
    world.apply(&mut machine, fatal());
    assert_eq!(world.ending, None);
    world.apply(&mut machine, Event::SinkDone { batch: 0, attempt: run.attempt });
    assert_eq!((world.reports.len(), world.objects.contains_key(&LogName::Commit(0))), (1, true));
    assert!(matches!(&world.ending, Some(Ending::Failed(fault)) if fault.message == "records are gone"));
    // Before anything is put out it ends at once.
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("e"));
    world.apply(&mut machine, fatal());
    assert!(matches!(&world.ending, Some(Ending::Failed(fault)) if fault.message == "records are gone"));
}
