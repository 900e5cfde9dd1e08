//! Heights for a stack of boxes: each as near to where it wants to be as the others let it. Knows numbers alone.

/// The middles of boxes with these heights, in this order, at least `space` apart and within `bounds` as far as they
/// fit: the least squares from the wishes, by pooling adjacent violators.
pub(super) fn place(heights: &[f64], wishes: &[f64], space: f64, bounds: (f64, f64)) -> Vec<f64> {
    // Each box relative to a stack without gaps: then the order is all that is left to keep.
    let mut offsets = Vec::with_capacity(heights.len());
    let mut offset = 0.0;
    for (index, height) in heights.iter().enumerate() {
        offset += height / 2.0 + if index > 0 { space } else { 0.0 };
        offsets.push(offset);
        offset += height / 2.0;
    }
    // Blocks of boxes that touch, each with the sum of its wishes and its size.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offsets) {
        let mut block = (wish - offset, 1.0, 1);
        while let Some(last) = blocks.last().copied().filter(|last| last.0 / last.1 > block.0 / block.1) {
            blocks.pop();
            block = (block.0 + last.0, block.1 + last.1, block.2 + last.2);
        }
        blocks.push(block);
    }
    let starts = blocks.iter().flat_map(|(sum, weight, count)| std::iter::repeat_n(sum / weight, *count));
    let highest = bounds.1 - offset;
    let within = |start: f64| start.min(highest).max(bounds.0);
    starts.zip(&offsets).map(|(start, offset)| within(start) + offset).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANYWHERE: (f64, f64) = (f64::MIN, f64::MAX);

    #[test]
    fn boxes_with_room_stand_where_they_want() {
        assert_eq!(place(&[10.0, 10.0], &[0.0, 100.0], 5.0, ANYWHERE), [0.0, 100.0]);
    }

    #[test]
    fn boxes_that_want_one_place_share_it() {
        assert_eq!(place(&[10.0, 10.0], &[50.0, 50.0], 6.0, ANYWHERE), [42.0, 58.0]);
    }

    #[test]
    fn the_bounds_hold() {
        assert_eq!(place(&[10.0, 10.0], &[-50.0, 500.0], 5.0, (0.0, 100.0)), [5.0, 95.0]);
    }

    proptest! {
        #[test]
        fn nothing_overlaps(boxes in proptest::collection::vec((1.0..80.0f64, -500.0..500.0f64), 0..12)) {
            let (heights, wishes): (Vec<f64>, Vec<f64>) = boxes.into_iter().unzip();
            let total: f64 = heights.iter().sum::<f64>() + 8.0 * heights.len() as f64;
            for bounds in [ANYWHERE, (0.0, total)] {
                let middles = place(&heights, &wishes, 8.0, bounds);
                for index in 1..middles.len() {
                    let between = middles[index] - middles[index - 1];
                    prop_assert!(between + 1e-6 >= f64::midpoint(heights[index], heights[index - 1]) + 8.0);
                }
            }
        }
    }
}
