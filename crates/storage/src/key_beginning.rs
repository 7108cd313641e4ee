//! The beginnings of keys as numbers, which are compared at once.

/// A key's first sixteen bytes, zeros after its end: keys in order have theirs in order, or the same.
pub(crate) fn key_beginning(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let len = key.len().min(16);
    bytes[..len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_in_the_order_of_their_keys() {
        let long = [7; 20];
        let mut longer = long;
        longer[19] = 8;
        let keys: [&[u8]; 9] = [&[], &[0], &[0, 0], &[0, 1], &[1], &[1, 255], &[7; 15], &[7; 16], &[255; 17]];
        for pair in keys.windows(2) {
            assert!(pair[0] < pair[1] && key_beginning(pair[0]) <= key_beginning(pair[1]), "{pair:?}");
        }
        assert_eq!(key_beginning(&long), key_beginning(&longer), "what follows the first sixteen bytes does not count");
        assert!(key_beginning(&[1]) < key_beginning(&[1, 255]) && key_beginning(&[0, 1]) < key_beginning(&[1]));
    }
}
