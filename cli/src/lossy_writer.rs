//! Output that never blocks its writer, whether or not anybody reads it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// How many lines wait to be read: about 100 KiB.
const CAPACITY: usize = 1024;

/// Passes lines to a thread that writes them. If they come faster than they are read, those that
/// don't fit are lost, and their number is written in their place.
///
/// tracing-appender's writer is no replacement: if nobody reads the log at the end, it prints to
/// standard output, which blocks if nobody reads that either.
#[derive(Clone, Debug)]
pub(crate) struct LossyWriter {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// How many lines were lost since the queue was last empty.
    lost: u64,
    is_writing: bool,
}

impl LossyWriter {
    /// Writes to `out` on a thread with this name until the process ends. Errors of `out` are
    /// ignored: a service goes on when its reader is gone.
    pub(crate) fn start(name: &str, mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let lines = Arc::clone(&queue);
        thread::Builder::new().name(name.into()).spawn(move || {
            loop {
                let _ = out.write_all(&lines.next()).and_then(|()| out.flush());
            }
        })?;
        Ok(Self { queue })
    }

    /// Writes a line.
    pub(crate) fn line(&self, line: impl Display) {
        self.queue.push(format!("{line}\n").into_bytes());
    }

    /// Waits until all lines are written, or until `deadline`.
    pub(crate) fn flush_until(&self, deadline: Instant) {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let state = self.queue.lock();
        let is_busy = |state: &mut State| state.is_writing || state.has_more();
        let _ = self
            .queue
            .changed
            .wait_timeout_while(state, timeout, is_busy);
    }
}

/// Each call writes one line, as tracing-subscriber does.
impl Write for LossyWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        // After the first lost line all are lost until the queue is empty, so that the notice stands
        // where they are missing.
        if state.lost > 0 || state.lines.len() == CAPACITY {
            state.lost += 1;
        } else {
            state.lines.push_back(line);
            self.changed.notify_all();
        }
    }

    /// Waits for the next line to write.
    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        let is_idle = |state: &mut State| !state.has_more();
        let state = self.changed.wait_while(state, is_idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        state.lines.pop_front().unwrap_or_else(|| {
            let lost = mem::take(&mut state.lost);
            format!("{lost} lines were lost: nobody read them in time\n").into_bytes()
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_more(&self) -> bool {
        !self.lines.is_empty() || self.lost > 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Its reader takes one write after the other.
    struct Rendezvous(SyncSender<String>);

    impl Write for Rendezvous {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(line.to_vec()).unwrap();
            self.0.send(text).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer() -> (LossyWriter, Receiver<String>) {
        let (sender, reader) = sync_channel(0);
        let writer = LossyWriter::start("test", Rendezvous(sender)).unwrap();
        (writer, reader)
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (mut writer, reader) = writer();
        writer.line("one");
        writer.write_all(b"two\n").unwrap();
        writer.line("three");
        let read: Vec<String> = reader.iter().take(3).collect();
        assert_eq!(read, ["one\n", "two\n", "three\n"]);
        writer.flush_until(Instant::now() + LONG);
    }

    #[test]
    fn lines_that_are_not_read_are_lost_and_counted_where_they_are_missing() {
        let (writer, reader) = writer();
        for number in 0..2 * CAPACITY {
            writer.line(number);
        }
        let mut expected = 0;
        let notice = loop {
            let line = reader.recv().unwrap();
            if line != format!("{expected}\n") {
                break line;
            }
            expected += 1;
        };
        // One more, if the thread had taken the first before the queue was full.
        assert!(expected == CAPACITY || expected == CAPACITY + 1);
        let lost = 2 * CAPACITY - expected;
        assert!(notice.starts_with(&format!("{lost} lines were lost")));
        writer.line("after");
        assert_eq!(reader.recv().unwrap(), "after\n");
    }

    #[test]
    fn a_flush_ends_at_its_deadline_or_when_all_is_written() {
        let (writer, reader) = writer();
        writer.flush_until(Instant::now() + LONG);
        writer.line("one");
        let deadline = Instant::now() + Duration::from_millis(20);
        writer.flush_until(deadline);
        assert!(Instant::now() >= deadline);

        let reading = thread::spawn(move || reader.iter().count());
        let start = Instant::now();
        writer.flush_until(start + LONG);
        assert!(start.elapsed() < LONG);
        assert_eq!(writer.queue.lock().lines.len(), 0);
        drop(reading);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_reason_to_stop() {
        let (writer, reader) = writer();
        drop(reader);
        writer.line("one");
        writer.line("two");
        writer.flush_until(Instant::now() + LONG);
        assert!(!writer.queue.lock().has_more());
    }
}
