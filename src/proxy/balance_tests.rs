use super::*;

const EJECTION: Ejection = Ejection { after: 3, length: Duration::from_secs(10) };

/// Some servers and a clock in milliseconds.
struct Group {
    servers: Vec<Standing>,
    balance: Balance,
    ejection: Ejection,
    turn: usize,
    now: u64,
}

impl Group {
    fn of(count: usize) -> Self {
        let servers = (0..count).map(|_| Standing::default()).collect();
        Self { servers, balance: Balance::RoundRobin, ejection: EJECTION, turn: 0, now: 1 }
    }

    fn choose(&mut self, tried: u64) -> Option<(usize, Turn)> {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let standing = |index: usize| &self.servers[index];
        choose(self.servers.len(), standing, self.balance, self.ejection, tried, turn, self.now)
    }

    /// The next `count` servers, all in their regular turn.
    fn turns(&mut self, count: usize) -> Vec<usize> {
        let mut chosen = Vec::new();
        for _ in 0..count {
            let (index, turn) = self.choose(0).unwrap();
            assert_eq!(turn, Turn::Regular);
            chosen.push(index);
        }
        chosen
    }

    /// Lets an attempt fail; in seconds, for how long the server is ejected.
    fn fail(&self, index: usize, turn: Turn) -> Option<u64> {
        let standing = |index: usize| &self.servers[index];
        if !self.servers[index].failed(turn, self.ejection) {
            return None;
        }
        let length = eject(self.servers.len(), standing, index, self.ejection, turn, self.now)?;
        Some(length.as_secs())
    }

    fn eject(&self, index: usize) {
        let lengths: Vec<_> = (0..EJECTION.after).map(|_| self.fail(index, Turn::Regular)).collect();
        assert_eq!(lengths, [None, None, Some(10)], "server {index}");
    }

    fn down(&self, index: usize) {
        assert_eq!(self.servers[index].checked(false, 1, 1), Some(State::Down));
    }
}

#[test]
fn servers_take_turns() {
    assert_eq!(Group::of(0).choose(0), None);
    assert_eq!(Group::of(1).turns(3), [0, 0, 0]);
    let mut group = Group::of(3);
    assert_eq!(group.turns(7), [0, 1, 2, 0, 1, 2, 0]);
    group.turn = usize::MAX;
    assert_eq!(group.turns(2), [0, 0], "usize::MAX is a multiple of three");
    // What one server does not get, the others share evenly.
    let mut group = Group::of(4);
    group.eject(1);
    let chosen = group.turns(300);
    for (index, share) in [(0, 100), (1, 0), (2, 100), (3, 100)] {
        assert_eq!(chosen.iter().filter(|other| **other == index).count(), share, "server {index}");
    }
}

#[test]
fn the_most_servers_and_more() {
    let mut group = Group::of(MOST_SERVERS);
    assert_eq!(group.turns(MOST_SERVERS), (0..MOST_SERVERS).collect::<Vec<_>>());
    assert_eq!(group.choose(u64::MAX >> 1), Some((63, Turn::Regular)));
    assert!(Group::of(100).turns(200).iter().all(|index| *index < MOST_SERVERS));
}

#[test]
fn the_fewest_requests_under_way() {
    let mut group = Group { balance: Balance::LeastConnections, ..Group::of(3) };
    assert_eq!(group.turns(3), [0, 1, 2], "equals take turns");
    group.servers[0].enter();
    group.servers[0].enter();
    group.servers[2].enter();
    assert_eq!(group.turns(3), [1, 1, 1]);
    group.down(1);
    assert_eq!(group.turns(2), [2, 2]);
    assert_eq!(group.choose(0b100), Some((0, Turn::Regular)), "a busy server before none");
    group.servers[0].leave();
    let mut both = group.turns(4);
    both.sort_unstable();
    assert_eq!(both, [0, 0, 2, 2]);
}

#[test]
fn a_request_goes_to_another_server_each_time() {
    let mut group = Group::of(3);
    let mut tried = 0;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (index, _) = group.choose(tried).unwrap();
        tried |= 1 << index;
        seen.push(index);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
    assert!(group.choose(tried).is_some(), "a repeated request may come back");
    // What is left out is better than nothing, and comes last.
    let mut group = Group::of(2);
    group.eject(0);
    assert_eq!(group.choose(0), Some((1, Turn::Regular)));
    assert_eq!(group.choose(0b10), Some((0, Turn::LastResort)));
}

#[test]
fn failures_in_a_row_eject() {
    let group = Group::of(2);
    for _ in 0..5 {
        assert_eq!(group.fail(0, Turn::Regular), None);
        assert_eq!(group.fail(0, Turn::Regular), None);
        assert!(!group.servers[0].answered(Turn::Regular)); // an answer between them starts the row anew
    }
    group.eject(0);
    assert_eq!(group.servers[0].state(), State::Ejected);
    // Those that were under way when it happened change nothing.
    assert_eq!(group.fail(0, Turn::Regular), None);
    assert!(!group.servers[0].answered(Turn::Regular));
    assert_eq!(group.servers[0].state(), State::Ejected);

    let never = Group { ejection: Ejection { after: 0, ..EJECTION }, ..Group::of(4) };
    assert!((0..1000).all(|_| never.fail(0, Turn::Regular).is_none()));
}

#[test]
fn at_most_half_are_ejected() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (64, 32)] {
        let group = Group::of(count);
        for _ in 0..10 {
            for index in 0..count {
                group.fail(index, Turn::Regular);
            }
        }
        let ejected = group.servers.iter().filter(|one| one.state() == State::Ejected).count();
        assert_eq!(ejected, most, "of {count}");
    }
    // When room is made, the next failure counts.
    let mut group = Group::of(2);
    group.eject(0);
    (0..5).for_each(|_| assert_eq!(group.fail(1, Turn::Regular), None));
    group.now += 10_000;
    assert_eq!(group.choose(0b10), Some((0, Turn::Trial)));
    assert!(group.servers[0].answered(Turn::Trial));
    assert_eq!(group.fail(1, Turn::Regular), Some(10));
}

#[test]
fn one_request_tries_an_ejected_server() {
    let mut group = Group::of(2);
    group.eject(0);
    group.now += 9_999;
    assert_eq!(group.turns(2), [1, 1], "too early");
    group.now += 1;
    assert_eq!(group.choose(0), Some((0, Turn::Trial)));
    assert_eq!(group.turns(3), [1, 1, 1], "one at a time");
    assert!(group.servers[0].answered(Turn::Trial));
    assert_eq!(group.servers[0].state(), State::Up);
    let mut both = group.turns(2);
    both.sort_unstable();
    assert_eq!(both, [0, 1]);
    group.eject(0); // three failures again, and ten seconds again
    // A trial that never ends does not keep the server out.
    group.now += 10_000;
    assert_eq!(group.choose(0), Some((0, Turn::Trial)));
    group.now += 9_999;
    assert_eq!(group.turns(2), [1, 1]);
    group.now += 1;
    assert_eq!(group.choose(0), Some((0, Turn::Trial)));
}

#[test]
fn each_failed_trial_doubles_the_time() {
    let mut group = Group::of(2);
    group.eject(0);
    for expected in [20, 40, 80, 160, 300, 300, 300] {
        group.now += 300_000;
        assert_eq!(group.choose(0), Some((0, Turn::Trial)));
        assert_eq!(group.fail(0, Turn::Trial), Some(expected));
        assert_eq!(group.servers[0].state(), State::Ejected);
        group.now += expected * 1000 - 1;
        assert_eq!(group.turns(2), [1, 1], "before {expected} s");
        group.now += 1;
    }
    // Many more do not overflow.
    group.servers[0].ejections.store(u32::MAX - 1, Ordering::Relaxed);
    assert_eq!(group.fail(0, Turn::Trial), Some(300));
    // The trial of one that was readmitted meanwhile ejects nobody.
    assert!(group.servers[0].answered(Turn::LastResort));
    assert_eq!(group.fail(0, Turn::Trial), None);
    group.eject(0);
}

#[test]
fn all_out_is_none_out() {
    let mut group = Group::of(3);
    group.eject(0);
    group.down(1);
    group.down(2);
    let mut seen = [0; 3];
    for _ in 0..30 {
        let (index, turn) = group.choose(0).unwrap();
        assert_eq!(turn, Turn::LastResort);
        seen[index] += 1;
    }
    assert_eq!(seen, [10, 10, 10]);
    // Its failures are no news; an answer readmits what was ejected, and checks decide over the rest.
    assert_eq!(group.fail(0, Turn::LastResort), None);
    assert!(!group.servers[1].answered(Turn::LastResort));
    assert!(group.servers[0].answered(Turn::LastResort));
    assert_eq!(group.turns(2), [0, 0]);
}

#[test]
fn checks_flip_a_server_after_enough_in_a_row() {
    let sentence = |results: &str| -> String {
        let server = Standing::default();
        let letter = |result: char| match server.checked(result == '+', 2, 3) {
            None => '.',
            Some(State::Down) => 'D',
            Some(State::Up | State::Ejected) => 'U',
        };
        results.chars().map(letter).collect()
    };
    for (results, expected) in [
        ("+++++", "....."),
        ("--+--+--+", "........."),
        ("---", "..D"),
        ("-----", "..D.."),
        ("---+-+-+-", "..D......"),
        ("---++", "..D.U"),
        ("---++--+---", "..D.U.....D"),
        ("---+-++", "..D...U"),
    ] {
        assert_eq!(sentence(results), expected, "{results}");
    }
}

#[test]
fn down_and_ejected_know_nothing_of_each_other() {
    let mut group = Group::of(2);
    group.eject(0);
    group.down(0);
    assert_eq!(group.servers[0].state(), State::Down);
    group.now += 60_000;
    assert_eq!(group.turns(2), [1, 1], "no trial of a server that is down");
    assert_eq!(group.servers[0].checked(true, 1, 1), Some(State::Ejected));
    assert_eq!(group.choose(0), Some((0, Turn::Trial)));
}
