//! A wire with a will of its own: passes datagrams between two sockets, later.
//!
//! Between the two ends of a VXLAN tunnel it delays whole Ethernet frames, whatever they carry, on
//! every kernel, without a queueing discipline that not every kernel has. What it does is told to
//! it on standard input, one line at a time: `delay_us jitter_us`. Jitter is seeded and may
//! reorder, as on real networks.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{BufRead, stdin},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;

use crate::clock;

/// Frames under way. 1 s at 50,000 frames a second; more is a fault of the lab, not of the wire.
const FRAMES_MAX: usize = 50_000;
/// The largest frame of a veth plus VXLAN's own header.
const FRAME_BYTES_MAX: usize = 2048;

#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Where the first end sends to, and where that end is.
    #[arg(long)]
    near: SocketAddr,
    #[arg(long)]
    near_peer: SocketAddr,
    /// The same for the other end.
    #[arg(long)]
    far: SocketAddr,
    #[arg(long)]
    far_peer: SocketAddr,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Frames by the time they are due; the number keeps equal times in order.
type Queue = BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>;

struct Direction {
    from: UdpSocket,
    to: UdpSocket,
    peer: SocketAddr,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Will {
    delay_us: AtomicU64,
    jitter_us: AtomicU64,
}

pub(crate) fn run(args: &RelayArgs) -> anyhow::Result<()> {
    let near = UdpSocket::bind(args.near).context("cannot bind the near end")?;
    let far = UdpSocket::bind(args.far).context("cannot bind the far end")?;
    let will = Arc::new(Will::default());
    let directions = [
        (near.try_clone()?, far.try_clone()?, args.far_peer, args.seed),
        (far, near, args.near_peer, args.seed.wrapping_add(1)),
    ];
    for (from, to, peer, seed) in directions {
        let queue = Mutex::new(Queue::new());
        let way = Arc::new(Direction { from, to, peer, queue, changed: Condvar::new() });
        let (taker, will) = (Arc::clone(&way), Arc::clone(&will));
        thread::spawn(move || take(&taker, &will, seed));
        thread::spawn(move || give(&way));
    }
    println!("ready");
    for line in stdin().lock().lines() {
        let line = line.context("cannot read what to do")?;
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap_or(0));
        will.delay_us.store(numbers.next().unwrap_or(0), Ordering::Relaxed);
        will.jitter_us.store(numbers.next().unwrap_or(0), Ordering::Relaxed);
        println!("ok");
    }
    Ok(())
}

/// Takes frames in and notes when they are due.
fn take(way: &Direction, will: &Will, mut seed: u64) {
    let mut frame = [0; FRAME_BYTES_MAX];
    let mut count = 0;
    while let Ok(length) = way.from.recv(&mut frame) {
        let jitter_us = match will.jitter_us.load(Ordering::Relaxed) {
            0 => 0,
            max => chance(&mut seed) % max,
        };
        let delay = Duration::from_micros(will.delay_us.load(Ordering::Relaxed) + jitter_us);
        let mut queue = way.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < FRAMES_MAX {
            let bytes = frame.get(..length).unwrap_or_default().to_vec();
            queue.push(Reverse((clock::now() + delay, count, bytes)));
            count += 1;
            way.changed.notify_one();
        }
    }
}

/// Sends frames on when they are due.
fn give(way: &Direction) {
    let mut queue = way.queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = clock::now();
        match queue.peek() {
            None => queue = way.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            Some(Reverse((due, ..))) if now < *due => {
                let rest = *due - now;
                let waited = way.changed.wait_timeout(queue, rest);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            Some(_) => {
                if let Some(Reverse((.., frame))) = queue.pop() {
                    // A frame that cannot be sent is lost, as on any wire.
                    way.to.send_to(&frame, way.peer).ok();
                }
            }
        }
    }
}

/// xorshift64*: the same seed gives the same jitter.
fn chance(state: &mut u64) -> u64 {
    *state = (*state).max(1);
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_repeats_with_its_seed() {
        let draw = |mut seed| [(); 4].map(|()| chance(&mut seed) % 100);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
