// SPDX-License-Identifier: MIT OR Apache-2.0

//! Classes of sizes: which blocks are as good as each other.
//!
//! Up to 128 bytes there is a class each 8 bytes. Above, there are four between each power of two and the next, so that
//! at most a fifth of a block is unused. What is larger than 32 KiB, or aligned to more than 16 bytes (8 on 32-bit
//! systems), has no class, and is the backing allocator's business.
//!
//! A block of a class always comes from the backing allocator, and goes back to it, with the [layout](Class::layout) of
//! the class. So it does not matter whether it was in a cache meanwhile.

use core::alloc::Layout;

/// The number of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(usize);

const STEP: usize = 8;
/// Up to this size, there is a class each `STEP`.
const SMALL: usize = 128;
const SMALL_CLASSES: usize = SMALL / STEP;
/// The largest that there is a class for.
const LARGEST: usize = 32 << 10;
/// Between a power of two and the next.
const PER_DOUBLING: usize = 4;

pub(crate) const CLASSES: usize =
    SMALL_CLASSES + PER_DOUBLING * (LARGEST.ilog2() - SMALL.ilog2()) as usize;

/// What all allocators align to anyway.
const ALIGN: usize = 2 * size_of::<usize>();

/// How many blocks of each class a CPU keeps at most.
pub(crate) const LIMITS: [usize; CLASSES] = {
    let mut limits = [0; CLASSES];
    let mut index = 0;
    while index < CLASSES {
        limits[index] = Class(index).limit();
        index += 1;
    }
    limits
};

/// How many of all classes.
pub(crate) const ROOM: usize = {
    let (mut room, mut index) = (0, 0);
    while index < CLASSES {
        room += LIMITS[index];
        index += 1;
    }
    room
};

/// The most blocks that move between a CPU and the depot at once.
pub(crate) const BATCH: usize = 128;

impl Class {
    /// That of blocks of this layout.
    #[inline(always)]
    pub(crate) fn of(layout: Layout) -> Option<Self> {
        let (size, align) = (layout.size(), layout.align());
        // Where the alignment is greater than 8, so that the class' size is a multiple of it.
        let size = if align <= STEP {
            size
        } else if align <= ALIGN {
            size.wrapping_add(align - 1) & !(align - 1)
        } else {
            return None;
        };
        Self::of_size(size)
    }

    #[inline(always)]
    fn of_size(size: usize) -> Option<Self> {
        // The last byte's offset. For a size of 0, which nobody may ask for, it is beyond all classes.
        let last = size.wrapping_sub(1);
        if last < SMALL {
            Some(Self(last / STEP))
        } else if last < LARGEST {
            let power = last.ilog2();
            // The two bits below the highest.
            let quarter = (last >> (power - 2)) % PER_DOUBLING;
            let doublings = (power - SMALL.ilog2()) as usize;
            Some(Self(SMALL_CLASSES + PER_DOUBLING * doublings + quarter))
        } else {
            None
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES).map(Self)
    }

    #[inline(always)]
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// The size of its blocks.
    pub(crate) const fn size(self) -> usize {
        match self.0.checked_sub(SMALL_CLASSES) {
            None => (self.0 + 1) * STEP,
            Some(above) => {
                let base = SMALL << (above / PER_DOUBLING);
                base + (above % PER_DOUBLING + 1) * (base / PER_DOUBLING)
            }
        }
    }

    /// What the backing allocator is asked for.
    #[inline]
    pub(crate) const fn layout(self) -> Layout {
        let size = self.size();
        let align = if size % ALIGN == 0 { ALIGN } else { STEP };
        match Layout::from_size_align(size, align) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    }

    /// How many blocks a CPU keeps at most: 64 KiB of them, but not more than 1024 and not less than 8.
    pub(crate) const fn limit(self) -> usize {
        match (64 << 10) / self.size() {
            0..8 => 8,
            blocks @ 8..1024 => blocks,
            _ => 1024,
        }
    }

    /// How many move between a CPU and the depot at once.
    pub(crate) const fn batch(self) -> usize {
        let half = self.limit() / 2;
        if half < BATCH { half } else { BATCH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_of_the_smallest_class_that_holds_it() {
        assert_eq!(Class::all().last().unwrap().size(), LARGEST);
        for size in 1..=LARGEST {
            let class = Class::of_size(size).unwrap();
            assert!(size <= class.size());
            assert!(class.index() == 0 || size > Class(class.index() - 1).size());
            // A fifth is unused at most, or less than 8 bytes are.
            let unused = class.size() - size;
            assert!(unused < STEP || unused * 5 < class.size());
        }
        assert_eq!(Class::of_size(0), None);
        assert_eq!(Class::of_size(LARGEST + 1), None);
        assert_eq!(Class::of_size(usize::MAX), None);
    }

    #[test]
    fn a_class_has_room_and_alignment_for_all_of_its_layouts() {
        for size in 0..=LARGEST + 16 {
            for align in (0..8).map(|power| 1 << power) {
                let layout = Layout::from_size_align(size, align).unwrap();
                match Class::of(layout).map(Class::layout) {
                    Some(class) => assert!(class.size() >= size && class.align() >= align),
                    None => assert!(size == 0 || size > LARGEST - 16 || align > ALIGN),
                }
            }
        }
    }

    #[test]
    fn a_cpu_keeps_no_more_than_is_said() {
        let most: usize = Class::all().map(|class| class.limit() * class.size()).sum();
        println!("{CLASSES} classes, {ROOM} blocks of {most} bytes in all");
        assert!(most <= 7 << 19, "3.5 MiB");
        assert!(Class::all().all(|class| (1..=BATCH).contains(&class.batch())));
        assert!(Class::all().all(|class| class.limit() * class.size() <= 256 << 10));
    }
}
