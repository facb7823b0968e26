//! The buffers of a socket, on the systems other than Linux.

use std::io;

use socket2::SockRef;

use super::BUFFER;

/// Asks for buffers of [`BUFFER`] bytes, unless they are larger. Where the system refuses so much, such
/// as FreeBSD beyond `kern.ipc.maxsockbuf`, for half, and so on.
pub(super) fn enlarge_buffers(socket: &SockRef<'_>) {
    enlarge(socket.recv_buffer_size().ok(), |size| {
        socket.set_recv_buffer_size(size)
    });
    enlarge(socket.send_buffer_size().ok(), |size| {
        socket.set_send_buffer_size(size)
    });
}

fn enlarge(present: Option<usize>, set: impl Fn(usize) -> io::Result<()>) {
    let Some(present) = present else { return };
    let mut size = BUFFER;
    while size > present && set(size).is_err() {
        size /= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_size_that_the_system_refuses_is_halved_and_a_buffer_never_made_smaller() {
        let asked = |present, limit| {
            let asked = RefCell::new(Vec::new());
            enlarge(Some(present), |size| {
                asked.borrow_mut().push(size);
                if size > limit {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                Ok(())
            });
            asked.into_inner()
        };
        assert_eq!(asked(9000, BUFFER), [BUFFER]);
        assert_eq!(asked(9000, BUFFER / 3), [BUFFER, BUFFER / 2, BUFFER / 4]);
        assert_eq!(asked(BUFFER / 4, 0), [BUFFER, BUFFER / 2]);
        assert_eq!(asked(BUFFER, BUFFER), []);
    }
}
