//! A page of rows as it came off the wire: one buffer, and where each cell lies in it.
//!
//! The cells are never decoded. The walk over them checks every length once, so that a hostile or torn page is an error
//! here and a plain slice everywhere else.

use bytes::Bytes;

/// Rows of one result page, as the raw `[bytes]` cells of the CQL frame (native protocol v4, §6), row after row.
#[derive(Debug)]
pub struct Page {
    bytes: Bytes,
    /// Offset of each cell's content, row by row; the four bytes before it are the cell's length.
    cells: Vec<u32>,
    columns: usize,
}

/// The page's bytes do not add up to the rows that its header names.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the page's bytes don't hold {rows} rows of {columns} columns: {what} at byte {offset} of {length}")]
pub struct MalformedPage {
    rows: usize,
    columns: usize,
    what: &'static str,
    offset: usize,
    length: usize,
}

/// A cell's length on the wire that says "null". Lengths below it ("not set") can't occur in a result.
const NULL: i32 = -1;

impl Page {
    /// Walks `rows` × `columns` cells over all of `bytes`.
    ///
    /// # Errors
    /// Where a length points outside the buffer, is negative other than null, or bytes are left over.
    pub fn parse(bytes: Bytes, rows: usize, columns: usize) -> Result<Page, MalformedPage> {
        let fail = |what, offset| MalformedPage { rows, columns, what, offset, length: bytes.len() };
        let count = rows.checked_mul(columns).ok_or_else(|| fail("more cells than can be", 0))?;
        // Each cell takes four bytes at least: a header that lies can't make us reserve memory.
        if count > bytes.len() / 4 || u32::try_from(bytes.len()).is_err() {
            return Err(fail("more cells than bytes", 0));
        }
        let mut cells = Vec::with_capacity(count);
        let mut at = 0usize;
        for _ in 0..count {
            let length = bytes[at..].first_chunk().ok_or_else(|| fail("a cell's length is cut off", at))?;
            let length = i32::from_be_bytes(*length);
            at += 4;
            #[expect(clippy::cast_possible_truncation, reason = "checked above: the buffer is below 4 GiB")]
            cells.push(at as u32);
            match usize::try_from(length) {
                Ok(length) if length <= bytes.len() - at => at += length,
                Ok(_) => return Err(fail("a cell reaches past the end", at)),
                Err(_) if length == NULL => {}
                Err(_) => return Err(fail("a negative length", at)),
            }
        }
        if at != bytes.len() {
            return Err(fail("bytes are left over", at));
        }
        Ok(Page { bytes, cells, columns })
    }

    /// How many rows the page holds.
    pub fn rows(&self) -> usize {
        self.cells.len().checked_div(self.columns).unwrap_or(0)
    }

    /// How many columns each row has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The cell's bytes; `None` is CQL null.
    #[inline]
    pub fn cell(&self, row: usize, column: usize) -> Option<&[u8]> {
        let at = self.cells[row * self.columns + column] as usize;
        let length = self.bytes[at - 4..].first_chunk().map_or(NULL, |length| i32::from_be_bytes(*length));
        usize::try_from(length).ok().map(|length| &self.bytes[at..at + length])
    }

    /// Where the cell's bytes begin in the page.
    pub(super) fn offset(&self, row: usize, column: usize) -> usize {
        self.cells[row * self.columns + column] as usize
    }

    /// Bytes of the page, from where [`Page::offset`] counts.
    pub(super) fn bytes(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[from..to]
    }

    /// The wire bytes of `count` neighbouring cells of a row, their lengths included.
    #[inline]
    pub fn span(&self, row: usize, column: usize, count: usize) -> &[u8] {
        if count == 0 {
            return &[];
        }
        let index = row * self.columns + column;
        let from = self.cells[index] as usize - 4;
        let to = self.cells.get(index + count).map_or(self.bytes.len(), |&at| at as usize - 4);
        &self.bytes[from..to]
    }

    /// The bytes of the first `columns` cells of all rows, with their lengths.
    pub fn bytes_of(&self, columns: usize) -> usize {
        if columns >= self.columns {
            return self.bytes.len();
        }
        self.cells.chunks_exact(self.columns).map(|row| (row[columns] - row[0]) as usize).sum()
    }

    /// What the page takes of memory, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.cells.len() * size_of::<u32>()
    }

    /// What the largest of its rows takes of memory, in bytes; 0 for a page without rows.
    pub fn largest_row(&self) -> usize {
        let (mut largest, mut end) = (0, self.bytes.len());
        for row in self.cells.chunks_exact(self.columns.max(1)).rev() {
            let start = row[0] as usize - 4;
            largest = largest.max(end - start);
            end = start;
        }
        if largest == 0 { 0 } else { largest + self.columns * size_of::<u32>() }
    }

    /// What the page took on the wire, in bytes.
    pub fn wire_size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
pub(crate) fn encode(rows: &[Vec<Option<Vec<u8>>>]) -> Bytes {
    let mut out = Vec::new();
    for cell in rows.iter().flatten() {
        match cell {
            None => out.extend_from_slice(&NULL.to_be_bytes()),
            Some(value) => {
                out.extend_from_slice(&i32::try_from(value.len()).expect("small").to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..20))
    }

    proptest! {
        #[test]
        fn every_cell_comes_back(rows in (1usize..6).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(cell(), n), 0..30))) {
            let columns = rows.first().map_or(3, Vec::len);
            let page = Page::parse(encode(&rows), rows.len(), columns).expect("well formed");
            prop_assert_eq!(page.rows(), rows.len());
            let sizes = rows.iter().map(|row| encode(std::slice::from_ref(row)).len() + columns * 4);
            prop_assert_eq!(page.largest_row(), sizes.clone().max().unwrap_or(0));
            prop_assert_eq!(page.size(), sizes.sum::<usize>());
            for first in 0..=columns + 1 {
                let of_row = |row: &Vec<_>| encode(&[row[..first.min(columns)].to_vec()]).len();
                prop_assert_eq!(page.bytes_of(first), rows.iter().map(of_row).sum::<usize>());
            }
            for (r, row) in rows.iter().enumerate() {
                for (c, cell) in row.iter().enumerate() {
                    prop_assert_eq!(page.cell(r, c), cell.as_deref());
                }
                let whole = encode(std::slice::from_ref(row));
                prop_assert_eq!(page.span(r, 0, columns), whole.as_ref());
            }
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), rows in any::<usize>(), columns in 0usize..70_000) {
            if let Ok(page) = Page::parse(bytes.into(), rows, columns) {
                for r in 0..page.rows() { for c in 0..columns { page.cell(r, c); } }
            }
        }

        #[test]
        fn a_torn_page_is_an_error(rows in prop::collection::vec(prop::collection::vec(cell(), 3), 1..10), cut in any::<prop::sample::Index>()) {
            let whole = encode(&rows);
            let torn = whole.slice(..cut.index(whole.len()));
            prop_assert!(Page::parse(torn, rows.len(), 3).is_err());
        }
    }
}
