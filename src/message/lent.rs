//! Memory of heads that are done with, lent again: a head lives as long as its request, and the next
//! one is about as long. Each thread lends its own.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
    thread::LocalKey,
};

/// Spares of one kind that a thread keeps: under load about as many as there are requests at once.
const MAX_SPARE: usize = 256;
/// A longer one is given back to the allocator.
const MAX_BYTES: usize = 8 * 1024;

/// What a thread keeps of one kind.
pub type Shelf<T> = RefCell<Vec<Vec<T>>>;

/// What is lent in rows.
pub trait Lend: Sized + 'static {
    fn shelf() -> &'static LocalKey<Shelf<Self>>;
}

thread_local! {
    static BYTES: Shelf<u8> = const { RefCell::new(Vec::new()) };
}

impl Lend for u8 {
    fn shelf() -> &'static LocalKey<Shelf<u8>> {
        &BYTES
    }
}

/// A vector with memory that is lent; empty at first.
#[derive(Debug)]
pub struct Lent<T: Lend>(Vec<T>);

impl<T: Lend> Lent<T> {
    /// The vector, whose memory does not come back.
    pub fn kept(mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }
}

impl<T: Lend> Default for Lent<T> {
    fn default() -> Lent<T> {
        // A thread that ends has no shelf any more.
        let spare = T::shelf().try_with(|shelf| shelf.borrow_mut().pop());
        Lent(spare.ok().flatten().unwrap_or_default())
    }
}

impl<T: Lend> Drop for Lent<T> {
    fn drop(&mut self) {
        let bytes = self.0.capacity() * size_of::<T>();
        if !(1..=MAX_BYTES).contains(&bytes) {
            return;
        }
        self.0.clear();
        let _ = T::shelf().try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            if shelf.len() < MAX_SPARE {
                shelf.push(std::mem::take(&mut self.0));
            }
        });
    }
}

impl<T: Lend + Clone> Clone for Lent<T> {
    fn clone(&self) -> Lent<T> {
        let mut copy = Lent::default();
        copy.0.clone_from(&self.0);
        copy
    }
}

impl<T: Lend> From<Vec<T>> for Lent<T> {
    fn from(vector: Vec<T>) -> Lent<T> {
        Lent(vector)
    }
}

impl<T: Lend> Deref for Lent<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Lend> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_with_is_lent_again_and_empty() {
        let mut first = Lent::<u8>::default();
        first.extend_from_slice(b"a head");
        let place = first.as_ptr();
        drop(first);
        let again = Lent::<u8>::default();
        assert!(again.is_empty() && again.as_ptr() == place);
        assert!(Lent::<u8>::default().capacity() == 0, "it is lent once");
    }

    #[test]
    fn what_is_long_or_kept_or_too_many_does_not_come_back() {
        let spares = || BYTES.with(|shelf| shelf.borrow().len());
        drop(Lent::from(Vec::<u8>::with_capacity(MAX_BYTES + 1)));
        drop(Lent::from(vec![1]).kept());
        assert_eq!(spares(), 0);
        let many: Vec<Lent<u8>> = (0..=MAX_SPARE).map(|_| Lent::from(vec![1])).collect();
        drop(many);
        assert_eq!(spares(), MAX_SPARE);
    }
}
