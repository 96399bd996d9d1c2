//! Pages without rows that aren't the last one: ScyllaDB answers such when it has read many tombstones.

use crate::lab::{Lab, THEN};
use crate::proxy::{Proxy, WITH_PAGING_STATE, scans};
use bytes::{BufMut, Bytes, BytesMut};
use scylla_proxy::{Condition, Reaction, RequestFrame, RequestReaction, RequestRule, ResponseFrame, ResponseOpcode};
use std::sync::Arc;

const ROWS: i32 = 1000;
/// The paging state of the forged pages.
const STATE: &[u8] = b"\0\0\0\x0eonly the start";
/// Columns of the scan: a key, a value, its writetime and TTL.
const COLUMNS: i32 = 4;

/// A page of no rows, with more to come.
fn empty_page(request: &RequestFrame) -> ResponseFrame {
    const ROWS_KIND: i32 = 2;
    const HAS_MORE_PAGES: i32 = 2;
    const NO_METADATA: i32 = 4;
    let mut body = BytesMut::new();
    body.put_i32(ROWS_KIND);
    body.put_i32(HAS_MORE_PAGES | NO_METADATA);
    body.put_i32(COLUMNS);
    body.put_slice(STATE);
    body.put_i32(0);
    ResponseFrame::new(request.params.for_response(), ResponseOpcode::Result, body.freeze())
}

/// The same EXECUTE without its paging state.
fn from_the_start(mut request: RequestFrame) -> RequestFrame {
    let mut body = request.body.to_vec();
    let at = body.windows(STATE.len()).position(|window| window == STATE).unwrap();
    body.drain(at..at + STATE.len());
    // The statement's id, with its length in two bytes, and the consistency level in two more; then the flags.
    let flags = 2 + usize::from(u16::from_be_bytes([body[0], body[1]])) + 2;
    assert_ne!(body[flags] & WITH_PAGING_STATE, 0);
    body[flags] &= !WITH_PAGING_STATE;
    request.body = Bytes::from(body);
    request
}

/// Goal: an empty page with more to come isn't taken for the end of a range.
///
/// Method: each range begins with such a page, forged; what the source really answers comes behind it.
#[test]
fn an_empty_page_with_more_to_come_is_not_the_end() {
    let Some(lab) = Lab::open("empty_pages") else { return };
    lab.both("CREATE TABLE t (id int PRIMARY KEY, a text)");
    lab.source.load("INSERT INTO t (id, a) VALUES (?, 'text') USING TIMESTAMP ?", (0..ROWS).map(|id| (id, THEN)));
    let mut proxy = Proxy::before(&lab.source, lab.runtime());
    let job = lab.job("t").args(&["--ranges", "100"]).source(&proxy.address);
    let mut run = job.start();
    run.await_begin();
    let behind_it = Condition::BodyContainsCaseSensitive(STATE.into());
    let (forged, mut pages) =
        crate::proxy::counted(RequestReaction::forge_response(Arc::new(|request| empty_page(&request))));
    proxy.on_requests(vec![
        RequestRule(behind_it, RequestReaction::transform_frame(Arc::new(from_the_start))),
        RequestRule(scans(|flags| flags & WITH_PAGING_STATE == 0), forged),
    ]);
    run.finish().assert_code(0);
    assert!(pages.take().len() >= 90, "too few pages were forged");
    assert_eq!(job.status()["rows_read"], ROWS);
    lab.assert_equal("t", ROWS.try_into().unwrap());
}
