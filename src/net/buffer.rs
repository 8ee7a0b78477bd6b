//! Buffers that a worker lends: an idle connection holds none.

use std::{cell::RefCell, rc::Rc};

use super::splice::{Pipe, Pipes};

/// What a buffer begins with: room for nearly every head, and for a short body with it.
pub const SMALL: usize = 16 * 1024;
/// What a long body is relayed with.
pub const LARGE: usize = 256 * 1024;
/// Spare small buffers that a worker keeps; more are given back to the allocator.
const MAX_SPARE: usize = 256;
/// Spare large buffers that a worker keeps.
const MAX_SPARE_LARGE: usize = 16;

/// A worker's spare buffers, and its pipes.
#[derive(Default)]
pub struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    pub(super) pipes: Pipes,
}

impl Buffers {
    fn lend(&self, size: usize) -> Box<[u8]> {
        let spare = self.list(size).and_then(|list| list.borrow_mut().pop());
        spare.unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    fn take_back(&self, bytes: Box<[u8]>) {
        let most = if bytes.len() == SMALL { MAX_SPARE } else { MAX_SPARE_LARGE };
        let Some(list) = self.list(bytes.len()) else {
            return;
        };
        let mut list = list.borrow_mut();
        if list.len() < most {
            list.push(bytes);
        }
    }

    fn list(&self, size: usize) -> Option<&RefCell<Vec<Box<[u8]>>>> {
        match size {
            SMALL => Some(&self.small),
            LARGE => Some(&self.large),
            _ => None,
        }
    }
}

/// Bytes read and not yet used. It borrows memory when it is first read into.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    home: Rc<Buffers>,
}

impl Buffer {
    pub fn new(home: Rc<Buffers>) -> Buffer {
        Buffer { bytes: Box::default(), start: 0, end: 0, home }
    }

    /// What was read and not yet consumed.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "no more is consumed than was filled");
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room to read into; what is filled moves to the front when the room behind it has run out.
    /// Empty only when the buffer is full.
    pub fn room(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = self.home.lend(SMALL);
        }
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// `count` bytes were read into the room.
    pub fn add(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.bytes.len(), "no more is read than there was room for");
    }

    pub fn is_full(&self) -> bool {
        !self.bytes.is_empty() && self.end - self.start == self.bytes.len()
    }

    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Makes the buffer hold at least `size` bytes.
    pub fn grow(&mut self, size: usize) {
        if size <= self.bytes.len() {
            return;
        }
        let mut larger = self.home.lend(size);
        let filled = self.end - self.start;
        larger[..filled].copy_from_slice(self.filled());
        let smaller = std::mem::replace(&mut self.bytes, larger);
        (self.start, self.end) = (0, filled);
        self.home.take_back(smaller);
    }

    /// What the bytes behind these may pass through instead; `None` where there is nothing to spare.
    pub fn pipe(&self) -> Option<Pipe> {
        Pipe::lend(&self.home)
    }

    /// Gives the memory back, if nothing is in it.
    pub fn release(&mut self) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            self.home.take_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.take_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.add(bytes.len());
    }

    #[test]
    fn what_is_filled_survives_moving_and_growing() {
        let mut buffer = Buffer::new(Rc::default());
        fill(&mut buffer, &[7; SMALL]);
        assert!(buffer.room().is_empty() && buffer.is_full());
        buffer.consume(SMALL - 3);
        assert_eq!(buffer.room().len(), SMALL - 3);
        fill(&mut buffer, b"abc");
        buffer.grow(LARGE);
        assert_eq!(buffer.filled(), [7, 7, 7, b'a', b'b', b'c']);
        assert_eq!(buffer.room().len(), LARGE - 6);
    }

    #[test]
    fn an_empty_buffer_gives_its_memory_back() {
        let home = Rc::new(Buffers::default());
        let mut buffer = Buffer::new(home.clone());
        fill(&mut buffer, b"x");
        buffer.release();
        assert!(home.small.borrow().is_empty(), "not while something is in it");
        buffer.consume(1);
        buffer.release();
        assert_eq!((home.small.borrow().len(), buffer.capacity()), (1, 0));
        drop(buffer);
        assert_eq!(home.small.borrow().len(), 1);
    }
}
