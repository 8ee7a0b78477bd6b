//! How much of its pool's traffic a backend gets: what the file says, or an operator since. Pure.

/// The most that an operator may say; the file's bound as well.
pub const MOST: u32 = 256;

/// The weight of one backend. What an operator said holds until the file says another thing than it
/// did then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    file: u32,
    ordered: Option<u32>,
}

impl Weights {
    pub fn effective(self) -> u32 {
        self.ordered.unwrap_or(self.file)
    }

    pub fn file(self) -> u32 {
        self.file
    }

    /// An operator's word; the file's own weight takes it back.
    pub fn order(&mut self, weight: u32) {
        self.ordered = (weight != self.file).then_some(weight);
    }

    /// What the file says now: the weight that an operator said and that it overrules, if it does.
    pub fn settle(&mut self, file: u32) -> Option<u32> {
        if self.file == file {
            return None;
        }
        self.file = file;
        self.ordered.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_until_the_file_says_another_thing() {
        let mut weights = Weights::default();
        assert_eq!(weights.settle(5), None);
        weights.order(0);
        assert_eq!((weights.effective(), weights.file()), (0, 5));
        assert_eq!(weights.settle(5), None, "the file says what it said then");
        assert_eq!(weights.effective(), 0);
        assert_eq!(weights.settle(3), Some(0));
        assert_eq!(weights.effective(), 3);
        assert_eq!(weights.settle(5), None, "nothing is remembered");
    }

    #[test]
    fn the_weight_of_the_file_is_no_order() {
        let mut weights = Weights::default();
        weights.settle(5);
        weights.order(1);
        weights.order(5);
        assert_eq!(weights.settle(4), None);
        assert_eq!(weights.effective(), 4);
    }
}
