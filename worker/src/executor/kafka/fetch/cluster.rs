//! What the connections of one client share: its queues, who leads them, and what is wrong with the brokers. Decides
//! which partitions the next fetch asks a broker for and what an answer means for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use pyrite_common::net::HostPort;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::queue::{Led, Part, Place, Queue};
use super::requests::{Fetched, Key, Leader, Leadership, Metadata, Wanted};
use super::settings::FetchSettings;
use crate::executor::kafka::partition::{Stop, Trouble};

/// Of one client.
pub(super) struct Cluster {
    /// As it was made.
    pub settings: FetchSettings,
    /// Ends all its tasks.
    pub token: CancellationToken,
    /// Wakes the task that looks for leaders.
    pub leaderless: Notify,
    /// Counts answers, so that partitions can be served in turn.
    answers: AtomicU64,
    /// Counts brokers that did not tell the leaders, so that the next is asked first from then on.
    passed_over: AtomicUsize,
    state: Mutex<State>,
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<Key, Arc<Queue>>,
    /// Leaders that were told before, so that a partition that starts later need not ask.
    leaders: HashMap<Key, Leader>,
    brokers: BTreeMap<i32, Broker>,
    /// Addresses that were told, besides those to begin with.
    addresses: BTreeMap<i32, HostPort>,
}

/// A broker with a running connection.
struct Broker {
    wake: Arc<Notify>,
}

/// A broker that needs a connection.
pub(super) struct NewBroker {
    pub node: i32,
    pub address: HostPort,
    pub wake: Arc<Notify>,
}

/// What the next fetch asks for.
pub(super) struct Plan {
    /// The queues, those that got the least lately first.
    pub parts: Vec<(Arc<Queue>, Place)>,
    /// Some are full and wait for room.
    pub leaves_out: bool,
}

impl Cluster {
    /// Without any partition.
    pub fn new(settings: FetchSettings) -> Self {
        Self {
            settings,
            token: CancellationToken::new(),
            leaderless: Notify::new(),
            answers: AtomicU64::new(0),
            passed_over: AtomicUsize::new(0),
            state: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Adds a partition's queue.
    pub fn add(&self, queue: Arc<Queue>) {
        let mut state = self.state.lock();
        let leader = state.leaders.get(&queue.key).copied();
        match leader.and_then(|leader| Some((leader, state.brokers.get(&leader.node)?))) {
            Some((leader, broker)) => queue.lead(Led { leader, wake: broker.wake.clone() }),
            None => self.leaderless.notify_one(),
        }
        state.queues.insert(queue.key.clone(), queue);
    }

    /// Takes a queue away, unless another of the same partition has its place.
    pub fn remove(&self, queue: &Arc<Queue>) {
        queue.let_go();
        let mut state = self.state.lock();
        if state.queues.get(&queue.key).is_some_and(|held| Arc::ptr_eq(held, queue)) {
            state.queues.remove(&queue.key);
        }
    }

    /// Topics of partitions that nobody is known to lead.
    pub fn leaderless_topics(&self) -> Vec<String> {
        let state = self.state.lock();
        let mut topics: Vec<String> =
            state.queues.values().filter(|queue| queue.is_leaderless()).map(|queue| queue.key.0.clone()).collect();
        topics.dedup();
        topics
    }

    /// Brokers to ask for leaders, in turn: those that were told last, then those to begin with. The first is one that
    /// answered the last time.
    pub fn addresses(&self) -> Vec<HostPort> {
        let state = self.state.lock();
        let mut addresses: Vec<HostPort> = state.addresses.values().cloned().collect();
        addresses.extend(
            self.settings.servers.iter().filter(|one| !state.addresses.values().any(|told| told == *one)).cloned(),
        );
        let first = self.passed_over.load(Ordering::Relaxed) % addresses.len().max(1);
        addresses.rotate_left(first);
        addresses
    }

    /// The broker that was asked for leaders did not tell them.
    pub fn passed_over(&self) {
        self.passed_over.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes in what brokers said of the leaders. Returns the brokers that need a connection now.
    pub fn learn(&self, metadata: &Metadata, now: Instant) -> Vec<NewBroker> {
        let mut state = self.state.lock();
        state.addresses.clone_from(&metadata.brokers);
        state.leaders.extend(metadata.leaders());
        let mut new = Vec::new();
        let State { queues, leaders, brokers, .. } = &mut *state;
        for queue in queues.values().filter(|queue| queue.is_leaderless()) {
            match metadata.leadership(&queue.key) {
                Leadership::Led(leader) => {
                    let Some(address) = metadata.brokers.get(&leader.node) else {
                        self.trouble(format!("broker {}, a leader, has no address", leader.node), Reach::Some);
                        continue;
                    };
                    let broker = brokers.entry(leader.node).or_insert_with(|| {
                        let wake = Arc::new(Notify::new());
                        new.push(NewBroker { node: leader.node, address: address.clone(), wake: wake.clone() });
                        Broker { wake }
                    });
                    queue.lead(Led { leader, wake: broker.wake.clone() });
                    continue;
                }
                Leadership::Vacant(text) => self.trouble(text, Reach::Some),
                Leadership::Unknown(text) => queue.deny(text, now),
                Leadership::Refused(text) => queue.stop_anyway(Stop::Refused(text)),
            }
            leaders.remove(&queue.key);
        }
        new
    }

    /// The connection to a broker is gone: its partitions need a leader.
    pub fn lost(&self, node: i32) {
        let mut state = self.state.lock();
        state.brokers.remove(&node);
        state.leaders.retain(|_, leader| leader.node != node);
        for queue in state.queues.values() {
            queue.unlead(node);
        }
        self.leaderless.notify_one();
    }

    /// No partition can be read in the way of this client.
    pub fn unsupported(&self, reason: &str) {
        for queue in self.state.lock().queues.values() {
            queue.stop_anyway(Stop::Unsupported(reason.to_owned()));
        }
    }

    /// What to fetch from a broker now.
    pub fn plan(&self, node: i32) -> Plan {
        let state = self.state.lock();
        let mut plan = Plan { parts: Vec::new(), leaves_out: false };
        for queue in state.queues.values() {
            match queue.part(node, self.fetch_bytes()) {
                Part::Fetch(place) => plan.parts.push((queue.clone(), place)),
                Part::Full => plan.leaves_out = true,
                Part::None => {}
            }
        }
        plan.parts.sort_by_key(|(_, place)| place.served);
        plan
    }

    /// What one fetch may bring of a partition.
    pub fn fetch_bytes(&self) -> usize {
        self.settings.partition_bytes as usize
    }

    /// Hands an answer's parts to the queues. `true`: there was something in it.
    pub fn deliver(&self, plan: &Plan, node: i32, fetched: Vec<Fetched>) -> bool {
        let answer = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        let parts: HashMap<&Key, &(Arc<Queue>, Place)> = plan.parts.iter().map(|part| (&part.0.key, part)).collect();
        let mut brought = false;
        for one in fetched {
            let Some((queue, place)) = parts.get(&one.key) else { continue };
            match one.chunk {
                Ok(chunk) => brought |= queue.put(*place, chunk, answer),
                Err(error) => self.refused(queue, *place, node, error),
            }
        }
        brought
    }

    fn refused(&self, queue: &Queue, place: Place, node: i32, error: ResponseError) {
        let (topic, partition) = &queue.key;
        let text = format!("`{topic}-{partition}`: {error}");
        match error {
            ResponseError::OffsetOutOfRange => queue.stop(place, Stop::OffsetGone),
            ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed => {
                queue.stop(place, Stop::Refused(text));
            }
            // The broker will not translate for an old version of Fetch.
            ResponseError::UnsupportedCompressionType | ResponseError::UnsupportedVersion => {
                queue.stop(place, Stop::Unsupported(text));
            }
            ResponseError::CorruptMessage => queue.stop(place, Stop::Corrupt { offset: place.offset, reason: text }),
            // Another leads it now, or will, or the broker is in trouble: the leader is looked for after a wait.
            error => {
                if !matches!(error, ResponseError::NotLeaderOrFollower | ResponseError::FencedLeaderEpoch) {
                    self.trouble(text, Reach::Some);
                }
                self.state.lock().leaders.remove(&queue.key);
                if queue.unlead(node) {
                    self.leaderless.notify_one();
                }
            }
        }
    }

    /// Keeps what is wrong, for the reader to judge by how long it lasts.
    pub fn trouble(&self, text: String, reach: Reach) {
        let mut trouble = self.trouble.lock();
        let since = trouble.as_ref().map_or_else(Instant::now, |before| before.since);
        *trouble = Some(Trouble { since, text, all_down: reach == Reach::None, refused: false });
    }

    /// Some broker answers.
    pub fn reached(&self) {
        self.trouble.lock().take_if(|trouble| trouble.all_down);
    }

    /// What is wrong now.
    pub fn troubled(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }

    /// Records came in.
    pub fn well(&self) {
        *self.trouble.lock() = None;
    }
}

/// How many brokers could be reached when something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// At least one.
    Some,
    /// Not one.
    None,
}

/// As requests name it.
pub(super) fn wanted(plan: &Plan) -> Vec<Wanted> {
    let parts = plan.parts.iter();
    parts
        .map(|(queue, place)| Wanted {
            key: queue.key.clone(),
            offset: place.offset,
            bytes: i32::try_from(place.bytes).unwrap_or(i32::MAX),
            leader_epoch: place.leader.epoch,
        })
        .collect()
}

/// The waits of a broker for records: short at first, so that a partition that starts is not kept waiting by those that
/// are quiet, longer while nothing comes.
pub(super) struct Waits {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Waits {
    /// As the settings say.
    pub fn new(settings: &FetchSettings) -> Self {
        Self { first: settings.wait_first, longest: settings.wait_longest, next: settings.wait_first }
    }

    /// How long the broker may hold back an answer to this plan.
    pub fn next(&self, plan: &Plan) -> Duration {
        // One that is left out wants to take part as soon as it has room.
        if plan.leaves_out { self.first } else { self.next }
    }

    /// Something came, or nothing.
    pub fn seen(&mut self, brought: bool) {
        self.next = if brought { self.first } else { (self.next * 2).min(self.longest) };
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::executor::kafka::client::ClientLimits;
    use crate::executor::kafka::fetch::queue::Taken;
    use crate::executor::kafka::fetch::walk::Chunk;

    const NODE: i32 = 7;

    fn cluster() -> Cluster {
        let options = BTreeMap::from([("bootstrap.servers".to_owned(), "b:1".to_owned())]);
        let limits = ClientLimits { queue_bytes: 4 << 20, partitions: 8 };
        Cluster::new(FetchSettings::read(&options, limits).expect("plain options"))
    }

    /// A partition that `NODE` leads.
    fn led(cluster: &Cluster, partition: i32) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(("t".to_owned(), partition), 0, cluster.settings.queue_bytes));
        cluster.add(queue.clone());
        queue.lead(Led { leader: Leader { node: NODE, epoch: 1 }, wake: Arc::new(Notify::new()) });
        queue
    }

    /// An answer with one batch of this many bytes and offsets 0 to 9.
    fn answer(partition: i32, bytes: usize) -> Fetched {
        let mut batch = vec![0; bytes];
        batch[8..12].copy_from_slice(&(bytes as i32 - 12).to_be_bytes());
        batch[16] = 2;
        batch[23..27].copy_from_slice(&9i32.to_be_bytes());
        let chunk = Chunk { batches: Bytes::from(batch), aborted: Vec::new() };
        Fetched { key: ("t".to_owned(), partition), chunk: Ok(chunk) }
    }

    fn refusal(partition: i32, error: ResponseError) -> Fetched {
        Fetched { key: ("t".to_owned(), partition), chunk: Err(error) }
    }

    fn planned(cluster: &Cluster) -> Vec<(i32, i64)> {
        cluster.plan(NODE).parts.iter().map(|(queue, place)| (queue.key.1, place.offset)).collect()
    }

    #[test]
    fn who_got_nothing_comes_first_and_who_is_full_waits() {
        let cluster = cluster();
        let (first, _second) = (led(&cluster, 0), led(&cluster, 1));
        assert_eq!(planned(&cluster), [(0, 0), (1, 0)]);
        let plan = cluster.plan(NODE);
        assert!(cluster.deliver(&plan, NODE, vec![answer(0, 100)]));
        assert_eq!(planned(&cluster), [(1, 0), (0, 10)], "the served one goes on behind the other");
        let plan = cluster.plan(NODE);
        // Larger than the rest of the queue: it is asked no more until it is read.
        let mut large = answer(0, cluster.settings.queue_bytes);
        if let Ok(chunk) = &mut large.chunk {
            let mut moved = chunk.batches.to_vec();
            moved[..8].copy_from_slice(&10i64.to_be_bytes());
            chunk.batches = moved.into();
        }
        assert!(cluster.deliver(&plan, NODE, vec![large]));
        assert_eq!(planned(&cluster), [(1, 0)]);
        assert!(cluster.plan(NODE).leaves_out);
        for _ in 0..2 {
            assert!(matches!(first.take(Duration::ZERO, cluster.fetch_bytes()), Taken::Chunk(_)));
        }
        assert_eq!(planned(&cluster), [(1, 0), (0, 20)]);
    }

    #[test]
    fn what_was_asked_before_a_seek_is_dropped() {
        let cluster = cluster();
        let queue = led(&cluster, 0);
        let plan = cluster.plan(NODE);
        queue.seek(5);
        assert!(!cluster.deliver(&plan, NODE, vec![answer(0, 100)]));
        assert!(matches!(queue.take(Duration::ZERO, 1), Taken::Empty));
        assert!(!cluster.deliver(&plan, NODE, vec![refusal(0, ResponseError::OffsetOutOfRange)]));
        assert!(matches!(queue.take(Duration::ZERO, 1), Taken::Empty));
        assert_eq!(planned(&cluster), [(0, 5)]);
    }

    #[test]
    fn an_answer_without_a_whole_batch_is_asked_again() {
        let cluster = cluster();
        led(&cluster, 0);
        let mut part = answer(0, 100);
        if let Ok(chunk) = &mut part.chunk {
            chunk.batches.truncate(99);
        }
        assert!(!cluster.deliver(&cluster.plan(NODE), NODE, vec![part]));
        assert_eq!(planned(&cluster), [(0, 0)]);
        assert_eq!(wanted(&cluster.plan(NODE))[0].bytes, cluster.settings.partition_bytes);
        // One that is larger than a fetch may be needs room: only to the first of a request it is sent in any case.
        let mut part = answer(0, 1 << 20);
        if let Ok(chunk) = &mut part.chunk {
            chunk.batches.truncate(1000);
        }
        assert!(!cluster.deliver(&cluster.plan(NODE), NODE, vec![part]));
        assert_eq!(wanted(&cluster.plan(NODE))[0].bytes, 1 << 20);
        assert!(cluster.deliver(&cluster.plan(NODE), NODE, vec![answer(0, 100)]));
        assert_eq!(wanted(&cluster.plan(NODE))[0].bytes, cluster.settings.partition_bytes, "small ones again");
    }

    #[test]
    fn errors_stop_a_partition_or_look_for_its_leader() {
        let cluster = cluster();
        let queue = led(&cluster, 0);
        let stops = [
            (ResponseError::OffsetOutOfRange, Stop::OffsetGone),
            (ResponseError::TopicAuthorizationFailed, Stop::Refused(String::new())),
            (ResponseError::UnsupportedCompressionType, Stop::Unsupported(String::new())),
        ];
        for (error, wanted) in stops {
            cluster.deliver(&cluster.plan(NODE), NODE, vec![refusal(0, error)]);
            let Taken::Stop(found) = queue.take(Duration::ZERO, 1) else { panic!("{error:?} stops nothing") };
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&wanted), "{found:?}");
            assert!(planned(&cluster).is_empty());
            queue.seek(0);
        }
        for error in [ResponseError::NotLeaderOrFollower, ResponseError::UnknownTopicOrPartition] {
            assert!(cluster.leaderless_topics().is_empty());
            cluster.deliver(&cluster.plan(NODE), NODE, vec![refusal(0, error)]);
            assert_eq!(cluster.leaderless_topics(), ["t"]);
            queue.lead(Led { leader: Leader { node: NODE, epoch: 2 }, wake: Arc::new(Notify::new()) });
        }
        cluster.lost(NODE);
        assert_eq!(cluster.leaderless_topics(), ["t"]);
    }

    #[test]
    fn a_partition_that_stays_unknown_is_gone() {
        let cluster = cluster();
        let queue = Arc::new(Queue::new(("t".to_owned(), 0), 0, 1000));
        cluster.add(queue.clone());
        let start = Instant::now();
        cluster.learn(&Metadata::default(), start);
        assert!(matches!(queue.take(Duration::ZERO, 1), Taken::Empty), "the brokers may not know it yet");
        cluster.learn(&Metadata::default(), start + Duration::from_secs(60));
        assert!(matches!(queue.take(Duration::ZERO, 1), Taken::Stop(Stop::PartitionGone(_))));
    }

    #[test]
    fn a_broker_that_does_not_answer_is_asked_last() {
        let options = BTreeMap::from([("bootstrap.servers".to_owned(), "a:1,b:1,c:1".to_owned())]);
        let limits = ClientLimits { queue_bytes: 4 << 20, partitions: 8 };
        let cluster = Cluster::new(FetchSettings::read(&options, limits).expect("plain options"));
        let order = || cluster.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(order(), "a:1 b:1 c:1");
        cluster.passed_over();
        assert_eq!(order(), "b:1 c:1 a:1");
        assert_eq!(order(), "b:1 c:1 a:1", "who answers stays the first");
        cluster.passed_over();
        cluster.passed_over();
        assert_eq!(order(), "a:1 b:1 c:1");
    }

    #[test]
    fn waits_grow_while_nothing_comes() {
        let cluster = cluster();
        let plan = Plan { parts: Vec::new(), leaves_out: false };
        let mut waits = Waits::new(&cluster.settings);
        let first = waits.next(&plan);
        for _ in 0..10 {
            waits.seen(false);
        }
        assert_eq!(waits.next(&plan), cluster.settings.wait_longest);
        assert_eq!(waits.next(&Plan { parts: Vec::new(), leaves_out: true }), first);
        waits.seen(true);
        assert_eq!(waits.next(&plan), first);
    }
}
