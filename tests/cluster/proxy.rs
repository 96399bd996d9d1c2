//! A proxy between the program and a node, which breaks things.
//!
//! The driver asks its contact point for the addresses of all nodes, that one's own included, and takes the contact point's
//! port for all of them. So the proxy listens at the node's own address, on another port: then all requests pass through it,
//! where the cluster is one node. (`faults` proves it.)

use crate::lab::Node;
use scylla_proxy::{
    Condition, Node as ProxyNode, Proxy as Server, Reaction, RequestFrame, RequestOpcode, RequestReaction, RequestRule,
    ResponseFrame, ResponseOpcode, ResponseReaction, ResponseRule, RunningProxy, ShardAwareness,
};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(crate) struct Proxy {
    pub(crate) address: String,
    server: Option<RunningProxy>,
    runtime: Arc<Runtime>,
}

impl Proxy {
    /// Stands in front of `node`, and passes everything on for now.
    pub(crate) fn before(node: &Node, runtime: &Arc<Runtime>) -> Proxy {
        let listener = TcpListener::bind((node.host(), 0)).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        drop(listener);
        let proxied = ProxyNode::builder()
            .real_address(node.address.parse().unwrap())
            .proxy_address(address)
            .shard_awareness(ShardAwareness::Unaware)
            .request_rules(Vec::new())
            .response_rules(Vec::new())
            .build();
        let server = runtime.block_on(Server::new([proxied]).run()).unwrap();
        Proxy { address: address.to_string(), server: Some(server), runtime: Arc::clone(runtime) }
    }

    /// Rules for what comes from the program; the first that fits is applied.
    pub(crate) fn on_requests(&mut self, rules: Vec<RequestRule>) {
        self.server.as_mut().unwrap().running_nodes[0].change_request_rules(Some(rules));
    }

    /// Rules for what comes from the node.
    pub(crate) fn on_responses(&mut self, rules: Vec<ResponseRule>) {
        self.server.as_mut().unwrap().running_nodes[0].change_response_rules(Some(rules));
    }

    /// From now on the answers to all requests come `time` late; what they ask for is done at once. Before the copy has
    /// begun, this would hold up every question about the schema too.
    pub(crate) fn delay_answers(&mut self, time: Duration) {
        let results = Condition::ResponseOpcode(ResponseOpcode::Result);
        self.on_responses(vec![ResponseRule(results, ResponseReaction::delay(time))]);
    }

    /// Every write is held back for `time` before the node gets it.
    pub(crate) fn delay_writes(&mut self, time: Duration) {
        let opcode = Condition::RequestOpcode;
        let writes = opcode(RequestOpcode::Execute).or(opcode(RequestOpcode::Batch));
        self.on_requests(vec![RequestRule(writes, RequestReaction::delay(time))]);
    }

    /// Every write of a row that holds [`PAYLOAD`] is held back for `time` before the node gets it: no rule that is in place before
    /// the copy begins comes too late.
    pub(crate) fn hold_writes(&mut self, time: Duration) {
        self.on_requests(vec![RequestRule(writes(), RequestReaction::delay(time))]);
    }

    /// Passes everything on.
    pub(crate) fn behave(&mut self) {
        self.server.as_mut().unwrap().turn_off_rules();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            // A connection that was cut is what this is for.
            let _ = self.runtime.block_on(server.finish());
        }
    }
}

/// A value that each row has, where the proxy is to know writes by it. What the program asks before and after the copy, about
/// schemas and permissions, has no such value, so rules for writes can be in place from the start.
pub(crate) const PAYLOAD: &str = "payload";

/// The flag of an EXECUTE that has a paging state.
pub(crate) const WITH_PAGING_STATE: u8 = 0x08;

/// Writes of rows that hold [`PAYLOAD`].
pub(crate) fn writes() -> Condition {
    let requests = Condition::RequestOpcode(RequestOpcode::Execute).or(Condition::RequestOpcode(RequestOpcode::Batch));
    requests.and(Condition::BodyContainsCaseSensitive(PAYLOAD.as_bytes().into()))
}

/// Requests for pages of a scan whose flags fit.
pub(crate) fn scans(fits: impl Fn(u8) -> bool) -> Condition {
    const LOCAL_QUORUM: u8 = 6;
    // Consistency level, flags, the number of values, and the length of the first one: a token.
    let bodies = (0..=u8::MAX)
        .filter(|flags| fits(*flags))
        .map(|flags| Condition::BodyContainsCaseSensitive(Box::from([0, LOCAL_QUORUM, flags, 0, 2, 0, 0, 0, 8])));
    Condition::RequestOpcode(RequestOpcode::Execute).and(Condition::any(bodies))
}

/// The first `times` of these requests get this.
pub(crate) fn times(times: usize, requests: Condition, reaction: RequestReaction) -> RequestRule {
    RequestRule(requests.and(Condition::TrueForLimitedTimes(times)), reaction)
}

/// Counts what a rule does.
pub(crate) fn counted(reaction: RequestReaction) -> (RequestReaction, Counter<RequestFrame>) {
    let (sender, receiver) = unbounded_channel();
    (reaction.with_feedback_when_performed(sender), Counter(receiver))
}

/// Counts what a rule does.
pub(crate) fn counted_response(reaction: ResponseReaction) -> (ResponseReaction, Counter<ResponseFrame>) {
    let (sender, receiver) = unbounded_channel();
    (reaction.with_feedback_when_performed(sender), Counter(receiver))
}

/// Whether an error is one of those that pass: the node was busy, or did something else.
pub(crate) fn passes(error: &ResponseFrame) -> bool {
    const SERVER_ERROR: u32 = 0x0000;
    const OF_THE_MOMENT: std::ops::Range<u32> = 0x1000..0x2000;
    let code = u32::from_be_bytes(error.body[..4].try_into().unwrap());
    code == SERVER_ERROR || OF_THE_MOMENT.contains(&code)
}

/// The frames that a rule was applied to.
pub(crate) struct Counter<F>(UnboundedReceiver<(F, Option<u16>)>);

impl<F> Counter<F> {
    /// Those since the last call.
    pub(crate) fn take(&mut self) -> Vec<F> {
        std::iter::from_fn(|| self.0.try_recv().ok().map(|(frame, _)| frame)).collect()
    }
}
