//! A chunk without some of its subjects: the other pages are taken as they are.

use super::{
    super::{Damaged, Layout, Reader, Record, Writer},
    COMPRESSED, Encoded, OTHER, PLAIN, Page, Pages, checked,
};

/// Makes a chunk of the pages of another that are not `gone`; `None` if none of them is.
///
/// What the columns have in common is of all pages that there were, so nothing is decoded: a page
/// that is damaged stays as damaged as it is.
///
/// # Errors
///
/// [`Damaged`] if the head cannot be read, or a page is not where it says.
pub(crate) fn trim<R: Record>(
    head: &[u8],
    parts: &[Vec<u8>],
    gone: impl Fn(u32) -> bool,
) -> Result<Option<Encoded>, Damaged> {
    let Split { common, layout, base, pages } = split::<R>(checked(head)?)?;
    if !pages.iter().any(|page| gone(page.key.subject)) {
        return Ok(None);
    }
    let kept: Vec<&Page> = pages.iter().filter(|page| !gone(page.key.subject)).collect();
    let mut head = Writer { bytes: common.to_vec() };
    head.length(kept.len());
    let mut trimmed = Pages::new(head, layout, base);
    for page in kept {
        let end = page.offset.saturating_add(page.length);
        let bytes = parts.get(page.part).and_then(|part| part.get(page.offset..end));
        let bytes = bytes.ok_or(Damaged("a page is not where it should be"))?;
        trimmed.add(page, bytes);
    }
    Ok(Some(trimmed.sealed()))
}

struct Split<'a> {
    /// What stands in a head before its pages.
    common: &'a [u8],
    layout: Layout,
    base: i64,
    pages: Vec<Page>,
}

fn split<R: Record>(head: &[u8]) -> Result<Split<'_>, Damaged> {
    let mut reader = Reader::new(head);
    let layout = R::layout(reader.byte()?).ok_or(OTHER)?;
    if reader.byte()? != R::KIND {
        return Err(OTHER);
    }
    let is_compressed = match reader.byte()? {
        PLAIN => false,
        COMPRESSED => true,
        _ => return Err(Damaged("it is of no known packing")),
    };
    let base = reader.signed()?;
    for _ in (0..layout.columns).filter(|_| is_compressed) {
        reader.counted()?;
    }
    let common = head.len().saturating_sub(reader.rest().len());
    let pages = Page::read_all(&mut reader, layout, base)?;
    let common = head.get(..common).unwrap_or_default();
    Ok(Split { common, layout, base, pages })
}
