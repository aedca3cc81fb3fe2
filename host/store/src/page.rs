//! How much one scan returns. One rule for all stores and for transactions: where a page ends must not depend on where the records
//! come from, or the same command would see different pages on different nodes.

use bytes::Bytes;

use crate::StoreError;

/// A scan's page ends before the record that would take it over this many bytes; a page has at least one record where there is one.
pub const SCAN_PAGE_BYTES_MAX: usize = 4 << 20;

/// What a record counts beside its key and value, so that a page of tiny records is bounded in memory too.
pub const SCAN_RECORD_BYTES: usize = 64;

/// A record without its table.
type Pair = (Bytes, Bytes);

/// Takes records until the page is full or the source ends.
pub(crate) fn fill(
    limit: usize,
    source: impl Iterator<Item = Result<Pair, StoreError>>,
) -> Result<Vec<Pair>, StoreError> {
    let mut page = Vec::new();
    let mut bytes = 0;
    if limit == 0 {
        return Ok(page);
    }
    for record in source {
        let (key, value) = record?;
        bytes += SCAN_RECORD_BYTES + key.len() + value.len();
        if bytes > SCAN_PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push((key, value));
        if page.len() == limit {
            break;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize, value_bytes: usize) -> impl Iterator<Item = Result<Pair, StoreError>> {
        (0..count).map(move |n| Ok((Bytes::from(n.to_be_bytes().to_vec()), Bytes::from(vec![0; value_bytes]))))
    }

    #[test]
    fn a_page_ends_at_its_limit() {
        assert_eq!(fill(3, records(10, 1)).expect("no error").len(), 3);
        assert_eq!(fill(0, records(10, 1)).expect("no error").len(), 0);
        assert_eq!(fill(11, records(10, 1)).expect("no error").len(), 10);
    }

    #[test]
    fn a_page_ends_before_it_grows_over_its_bytes() {
        assert_eq!(fill(100, records(100, SCAN_PAGE_BYTES_MAX / 4)).expect("no error").len(), 3);
    }

    #[test]
    fn a_page_holds_one_record_however_large() {
        assert_eq!(fill(100, records(100, SCAN_PAGE_BYTES_MAX * 2)).expect("no error").len(), 1);
    }

    #[test]
    fn an_error_of_the_source_is_the_page_s_error() {
        let source = records(2, 1).chain([Err(StoreError::Corrupt { what: "test".into() })]);
        assert!(fill(100, source).is_err());
    }
}
