//! Every statement that the program sends to a node, taken apart: what it binds to which column, and its timestamp.

use crate::proxy::Proxy;
use bytes::Buf;
use scylla_proxy::{
    Condition, Reaction, RequestFrame, RequestOpcode, RequestReaction, RequestRule, ResponseFrame, ResponseOpcode,
    ResponseReaction, ResponseRule,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Feedback<F> = (F, Option<u16>);

/// Listens to a [`Proxy`], from before the program connects.
pub(crate) struct Trace {
    to_requests: UnboundedSender<Feedback<RequestFrame>>,
    requests: UnboundedReceiver<Feedback<RequestFrame>>,
    results: UnboundedReceiver<Feedback<ResponseFrame>>,
}

/// A prepared statement that was sent with these values, by the name of what they are bound to: a column, `[timestamp]`,
/// `[ttl]`; none is null. What was left unset isn't here.
pub(crate) type Sent = BTreeMap<String, Option<Vec<u8>>>;

impl Trace {
    /// Listens from now on, and delays nothing.
    pub(crate) fn of(proxy: &mut Proxy) -> Trace {
        let (to_requests, requests) = unbounded_channel();
        let (to_results, results) = unbounded_channel();
        let listen = ResponseReaction::noop().with_feedback_when_performed(to_results);
        proxy.on_responses(vec![ResponseRule(Condition::ResponseOpcode(ResponseOpcode::Result), listen)]);
        let trace = Trace { to_requests, requests, results };
        trace.delay(proxy, Condition::False, Duration::ZERO);
        trace
    }

    /// From now on, these requests are delayed, and no others.
    pub(crate) fn delay(&self, proxy: &mut Proxy, requests: Condition, time: Duration) {
        let opcode = Condition::RequestOpcode;
        let listen = |reaction: RequestReaction| reaction.with_feedback_when_performed(self.to_requests.clone());
        proxy.on_requests(vec![
            RequestRule(requests, listen(RequestReaction::delay(time))),
            RequestRule(
                opcode(RequestOpcode::Execute).or(opcode(RequestOpcode::Batch)),
                listen(RequestReaction::noop()),
            ),
        ]);
    }

    /// Everything that was executed so far, alone or in a batch.
    pub(crate) fn take(&mut self) -> Vec<Sent> {
        let mut names = BTreeMap::new();
        while let Ok((frame, _)) = self.results.try_recv() {
            names.extend(prepared(&frame.body));
        }
        let mut all = Vec::new();
        while let Ok((frame, _)) = self.requests.try_recv() {
            let mut body = &frame.body[..];
            match frame.opcode {
                RequestOpcode::Execute => {
                    let names = &names[short_bytes(&mut body)];
                    let (_consistency, flags) = (body.get_u16(), body.get_u8());
                    assert_eq!(flags & 0x40, 0, "values have no names of their own");
                    all.push(if flags & 1 == 1 { values(&mut body, names) } else { Sent::new() });
                }
                RequestOpcode::Batch => {
                    let _kind = body.get_u8();
                    for _ in 0..body.get_u16() {
                        assert_eq!(body.get_u8(), 1, "only prepared statements");
                        let names = &names[short_bytes(&mut body)];
                        all.push(values(&mut body, names));
                    }
                }
                opcode => panic!("{opcode:?} wasn't asked for"),
            }
        }
        all
    }
}

/// The id and the bind markers of a statement, where this is the answer to its PREPARE.
fn prepared(mut body: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
    const PREPARED: i32 = 4;
    if body.get_i32() != PREPARED {
        return None;
    }
    let id = short_bytes(&mut body).to_vec();
    let (flags, columns, keys) = (body.get_i32(), body.get_i32(), body.get_i32());
    body.advance(2 * usize::try_from(keys).unwrap());
    let is_global = flags & 1 == 1;
    let table = |body: &mut &[u8]| {
        let (_keyspace, _table) = (short_bytes(body), short_bytes(body));
    };
    if is_global && columns > 0 {
        table(&mut body);
    }
    let mut names = Vec::new();
    for _ in 0..columns {
        if !is_global {
            table(&mut body);
        }
        names.push(String::from_utf8(short_bytes(&mut body).to_vec()).unwrap());
        skip_type(&mut body);
    }
    Some((id, names))
}

fn skip_type(body: &mut &[u8]) {
    let parts = match body.get_u16() {
        0x20 | 0x22 => 1,
        0x21 => 2,
        native => {
            assert!((0x01..0x20).contains(&native), "a type that isn't understood here");
            0
        }
    };
    (0..parts).for_each(|_| skip_type(body));
}

fn short_bytes<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let length = body.get_u16().into();
    let (bytes, rest) = body.split_at(length);
    *body = rest;
    bytes
}

fn values(body: &mut &[u8], names: &[String]) -> Sent {
    const UNSET: i32 = -2;
    let mut sent = Sent::new();
    let count = body.get_u16().into();
    for name in names.iter().take(count) {
        let length = body.get_i32();
        let value = usize::try_from(length).ok().map(|length| {
            let (value, rest) = body.split_at(length);
            *body = rest;
            value.to_vec()
        });
        if length != UNSET {
            sent.insert(name.clone(), value);
        }
    }
    sent
}
