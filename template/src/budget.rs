//! The limits that the renderings of one structure share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fault::{Outcome, over};
use crate::limits::Limits;

/// Steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: u64 = 2_048;

/// How long renderings have taken.
#[derive(Debug, Default)]
struct Clock {
    /// Those that are over.
    spent: Duration,
    /// Since when one runs.
    running: Option<Instant>,
}

/// Stops the clock of a budget when it is dropped.
pub(crate) struct Running<'a>(&'a Budget);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut clock = self.0.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = clock.running.take() {
            clock.spent += since.elapsed();
        }
    }
}

/// Steps, memory and time, counted over every rendering that is given the
/// same budget.
///
/// [`Renderer`](crate::Renderer) makes one for each text, command line or
/// structure it is asked for. A caller that renders several of them on behalf
/// of one request makes one budget and passes it to the methods that end in
/// `_within`. The clock runs while a rendering does, so a budget may be kept
/// for as long as the request takes.
#[derive(Debug)]
pub struct Budget {
    most_steps: u64,
    most_memory: usize,
    time: Duration,
    clock: Mutex<Clock>,
    // Only one rendering at a time counts, so plain loads and stores do.
    steps: AtomicU64,
    next_look: AtomicU64,
    memory: AtomicUsize,
}

impl Budget {
    /// All that `limits` allow.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            most_steps: limits.steps,
            most_memory: limits.memory_bytes,
            time: limits.deadline,
            clock: Mutex::default(),
            steps: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
            memory: AtomicUsize::new(0),
        }
    }

    /// The same budget with at most `time` for all renderings together, for
    /// callers that have less left than the limits allow.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> Self {
        self.time = self.time.min(time);
        self
    }

    /// Lets the clock run until what is given back is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.running = Some(Instant::now());
        Running(self)
    }

    /// How long renderings have taken until now.
    fn taken(&self) -> Duration {
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.spent + clock.running.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Charges `count` steps, and looks at the clock now and then.
    #[inline]
    pub(crate) fn step(&self, count: u64) -> Outcome<()> {
        let steps = self.steps.load(Ordering::Relaxed).saturating_add(count);
        self.steps.store(steps, Ordering::Relaxed);
        if steps < self.next_look.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.look()
    }

    /// Refuses to go on when steps or time are used up.
    #[cold]
    pub(crate) fn look(&self) -> Outcome<()> {
        let steps = self.steps.load(Ordering::Relaxed);
        self.next_look.store(steps.saturating_add(STEPS_BETWEEN_LOOKS), Ordering::Relaxed);
        if steps > self.most_steps {
            return over("the template takes too many steps", "steps");
        }
        if self.taken() >= self.time {
            return over("the template takes too long", "deadline");
        }
        Ok(())
    }

    /// Charges memory before it is used.
    #[inline]
    pub(crate) fn alloc(&self, bytes: usize) -> Outcome<()> {
        self.room(bytes)?;
        self.memory.store(self.memory.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        // Copying is work too.
        self.step(bytes as u64 / 256)
    }

    /// Refuses what would not fit, without charging it: for copies that are
    /// dropped before anything else is made.
    pub(crate) fn room(&self, bytes: usize) -> Outcome<()> {
        if self.memory.load(Ordering::Relaxed).saturating_add(bytes) > self.most_memory {
            return over("the template uses too much memory", "memory_bytes");
        }
        Ok(())
    }

    /// Gives back what was charged for something that has been dropped.
    pub(crate) fn release(&self, bytes: usize) {
        let memory = self.memory.load(Ordering::Relaxed);
        self.memory.store(memory.saturating_sub(bytes), Ordering::Relaxed);
    }
}
