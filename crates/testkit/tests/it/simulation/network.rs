//! The network between the servers: links that are cut, and everything that goes wrong on a way.

use std::{collections::HashSet, sync::Arc, time::Duration};

use blaupause_federation::{CallLimits, Exchange, Wire, WireError};
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use ruma::ServerName;
use tokio::time::{sleep, timeout};

use super::{
    chance::Chance,
    door,
    script::{SERVERS, Weather},
    server::{Server, index_of, letter},
    trace::Trace,
};

/// Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    trace: Trace,
}

struct State {
    /// `None`: it is down.
    servers: [Option<Server>; SERVERS],
    cut: HashSet<(usize, usize)>,
    weather: Weather,
    chance: Chance,
    under_way: usize,
    /// Requests so far.
    count: u64,
}

/// What happens to a request.
struct Fate {
    there_ms: u64,
    back_ms: u64,
    is_lost: bool,
    is_unanswered: bool,
    is_doubled: bool,
    /// Who does not wait any more takes the work with them.
    dies_with_caller: bool,
}

impl Network {
    pub fn new(seed: u64, trace: Trace) -> Self {
        let state = State {
            servers: Default::default(),
            cut: HashSet::new(),
            weather: Weather::default(),
            chance: Chance::new(!seed),
            under_way: 0,
            count: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), trace }))
    }

    pub fn set(&self, at: usize, server: Option<Server>) {
        self.0.state.lock().servers[at] = server;
    }

    pub fn server(&self, at: usize) -> Option<Server> {
        self.0.state.lock().servers[at].clone()
    }

    pub fn set_weather(&self, weather: Weather) {
        self.0.state.lock().weather = weather;
    }

    pub fn cut(&self, from: usize, to: usize, is_cut: bool) {
        let cut = &mut self.0.state.lock().cut;
        if is_cut {
            cut.insert((from, to))
        } else {
            cut.remove(&(from, to))
        };
    }

    pub fn mend_all(&self) {
        self.0.state.lock().cut.clear();
    }

    pub fn is_quiet(&self) -> bool {
        self.0.state.lock().under_way == 0
    }

    pub fn requests(&self) -> u64 {
        self.0.state.lock().count
    }

    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// One server's end.
    pub fn wire(&self, from: usize) -> Arc<dyn Wire> {
        Arc::new(End { from, network: self.clone() })
    }

    fn fate(&self) -> Fate {
        let mut state = self.0.state.lock();
        let State { weather, chance, .. } = &mut *state;
        Fate {
            there_ms: chance.within(0..weather.delay_ms.max(1)),
            back_ms: chance.within(0..weather.delay_ms.max(1)),
            is_lost: chance.percent(weather.lost),
            is_unanswered: chance.percent(weather.unanswered),
            is_doubled: chance.percent(weather.doubled),
            dies_with_caller: chance.percent(50),
        }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.0.state.lock().cut.contains(&(from, to))
    }

    async fn pass(
        &self,
        from: usize,
        to: usize,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, WireError> {
        let fate = self.fate();
        sleep(Duration::from_millis(fate.there_ms)).await;
        if self.is_cut(from, to) || fate.is_lost {
            if self.0.state.lock().weather.silent {
                std::future::pending::<()>().await;
            }
            return Err(WireError::Unreachable("cut".to_owned()));
        }
        let refused = || WireError::Unreachable("nobody listens".to_owned());
        if fate.is_doubled {
            let (network, again) = (self.clone(), request.clone());
            if let Some(server) = self.server(to) {
                // It belongs to the receiver: it has left the sender.
                server.env.spawn(async move {
                    sleep(Duration::from_millis(fate.there_ms + fate.back_ms)).await;
                    if let Some(server) = network.server(to) {
                        door::answer(&server, again).await;
                    }
                });
            }
        }
        let server = self.server(to).ok_or_else(refused)?;
        let env = server.env.clone();
        let work = env.spawn(async move { door::answer(&server, request).await });
        let guard = AbortOnDrop(fate.dies_with_caller.then(|| work.abort_handle()));
        let answer = work.await.map_err(|_| refused())?;
        drop(guard);
        sleep(Duration::from_millis(fate.back_ms)).await;
        if fate.is_unanswered {
            return Err(WireError::Unreachable("the answer is lost".to_owned()));
        }
        Ok(answer)
    }
}

struct AbortOnDrop(Option<tokio::task::AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Counts a request as under way, wherever it ends.
struct UnderWay(Network);

impl UnderWay {
    fn new(network: &Network) -> Self {
        let mut state = network.0.state.lock();
        state.under_way += 1;
        state.count += 1;
        drop(state);
        Self(network.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.state.lock().under_way -= 1;
    }
}

struct End {
    from: usize,
    network: Network,
}

impl Wire for End {
    fn exchange<'a>(
        &'a self,
        to: &'a ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Exchange<'a> {
        Box::pin(async move {
            let to = index_of(to).ok_or_else(|| WireError::Unreachable("no such".to_owned()))?;
            let _under_way = UnderWay::new(&self.network);
            let what = format!("{} {}", request.method(), request.uri());
            let passing = self.network.pass(self.from, to, request);
            let answer = timeout(limits.time, passing).await;
            let answer = answer.unwrap_or(Err(WireError::TimedOut));
            let end = match &answer {
                Ok(answer) => answer.status().as_u16().to_string(),
                Err(error) => error.to_string(),
            };
            let (from, to) = (letter(self.from), letter(to));
            self.network.0.trace.note(&format!("{from}→{to} {what} {end}"));
            answer
        })
    }
}
