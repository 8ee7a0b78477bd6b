//! A second try of a request whose answer is late, at another backend: the first answer wins.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::{Duration, Instant as Moment},
};

use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::{
    http::{
        attempt::{Attempt, MAX_INTERIM},
        content::Content,
        downstream::Downstream,
        exchange::{self, Bounds, NoAnswer, Upload},
        reach::{self, Unconnected},
        upgrade,
        upstream::Upstream,
    },
    message::head::Response,
    pool::place::InFlight,
};

/// The second try.
struct Second<'a> {
    index: usize,
    in_flight: InFlight<'a>,
    begun: Instant,
    /// For who balances by time.
    asked: Option<Moment>,
    /// How long it took to connect; `None`: it is on a connection that was there.
    connect: Option<Duration>,
    stage: Stage<'a>,
    interim: usize,
}

enum Stage<'a> {
    Connecting(Pin<Box<dyn Future<Output = Result<Upstream, NoAnswer>> + 'a>>),
    Asked(Box<(Upstream, Upload)>),
}

/// What came first.
enum Heard {
    /// A head from who was asked first, or why none comes.
    First(Result<(), NoAnswer>),
    /// From who is asked second, or why there is no connection to ask on.
    Second(Result<(), NoAnswer>),
    /// There is a connection for the second try.
    Connected(Upstream),
    /// Nothing, for as long as the first alone was waited for.
    Nothing,
}

/// The two heads that are waited for.
#[derive(Default)]
struct Heads {
    first: Response,
    second: Response,
}

impl<'a> Attempt<'_, 'a> {
    /// How long the answer is waited for before a second backend is asked; `None`: as long as it
    /// takes.
    ///
    /// Safe methods alone, not all that are idempotent (RFC 9110, section 9.2): the try that is
    /// given up may still be acted on, later than what this client does next.
    pub(super) fn patience(&self) -> Option<Duration> {
        let patience = self.pool.patience()?;
        let request = self.exchange.request;
        let fits = request.method.is_safe()
            && self.content != Content::Streamed
            // Who is kept at a backend is not sent to another for being quick.
            && self.pool.pool.config.sticky.is_none()
            && upgrade::asked(request, self.rules.framing).is_none();
        fits.then_some(patience)
    }

    /// Waits for the answer that counts, from one backend at first, later from two. `upstream`,
    /// `upload` and this attempt are then those of the one that answered, or that failed last.
    pub(super) async fn await_either(
        &mut self,
        upstream: &mut Upstream,
        upload: &mut Upload,
        patience: Duration,
    ) -> Result<Response, NoAnswer> {
        let mut late = Box::pin(sleep_until(Instant::now() + patience));
        let mut heads = Heads::default();
        let mut second: Option<Second<'a>> = None;
        let mut interim = 0;
        loop {
            let (client, bounds) = (&mut self.exchange.client, self.bounds);
            let first = (&mut *upstream, &mut *upload);
            let heard = hear(client, bounds, &mut heads, first, second.as_mut(), late.as_mut());
            match (heard.await, second.take()) {
                (Heard::First(Ok(())), kept) if heads.first.is_interim() => {
                    interim += 1;
                    self.take_interim(&heads.first, interim).await?;
                    second = kept;
                }
                (Heard::First(Ok(())), loser) => {
                    if let Some(loser) = loser {
                        self.pool.given_up(loser.index, loser.asked);
                    }
                    return Ok(heads.first);
                }
                (Heard::First(Err(none @ NoAnswer::Upstream { .. })), Some(second)) => {
                    self.count_failed(self.index, &none);
                    return self.await_second(second, upstream, upload).await;
                }
                (Heard::First(Err(none)), _) => return Err(none),
                (Heard::Nothing, _) => match self.second() {
                    Some(begun) => second = Some(begun),
                    None => return self.await_answer(upstream, upload).await,
                },
                (Heard::Connected(connected), Some(kept)) => {
                    second = Some(self.ask_second(kept, connected));
                }
                // Its hints are not passed on: it has not been chosen.
                (Heard::Second(Ok(())), Some(mut kept))
                    if heads.second.is_interim() && kept.interim < MAX_INTERIM =>
                {
                    kept.interim += 1;
                    second = Some(kept);
                }
                // An error is not wanted while the first may still do better.
                (Heard::Second(Ok(())), Some(second))
                    if (200..500).contains(&heads.second.status) =>
                {
                    self.give_up_first(upload);
                    self.become_second(second, upstream, upload);
                    return Ok(heads.second);
                }
                (Heard::Second(outcome), Some(second)) => {
                    self.drop_second(second, outcome.map(|()| heads.second.status))?;
                    return self.await_answer(upstream, upload).await;
                }
                (Heard::Connected(_) | Heard::Second(_), None) => {
                    unreachable!("only a second try is heard of as one")
                }
            }
        }
    }

    /// A second try, if another backend has a place for it, and the pool's attempts and its budget
    /// allow it.
    fn second(&mut self) -> Option<Second<'a>> {
        let (pool, local) = (self.pool, self.exchange.local);
        let (index, in_flight) = pool.place(&self.ask).ok()?;
        if self.ask.tried.contains(&index) || !pool.may_hedge(self.ask.tried) {
            return None;
        }
        self.hedged = Some(index);
        self.record.attempts += 1;
        let connect = self.bounds.upstream.connect;
        let announced = self.exchange.announcement(pool);
        let connection = async move {
            if let Some(idle) = reach::idle(pool, index, announced, local) {
                return Ok(idle);
            }
            let why = match timeout(connect, reach::open(pool, index, announced, local)).await {
                Ok(Ok(upstream)) => return Ok(upstream),
                Ok(Err(error)) => Unconnected::Dial(error),
                Err(_) => Unconnected::Late,
            };
            Err(why.told(pool.member(index), local.slot))
        };
        Some(Second {
            index,
            in_flight,
            begun: Instant::now(),
            asked: pool.now(),
            connect: None,
            stage: Stage::Connecting(Box::pin(connection)),
            interim: 0,
        })
    }

    fn ask_second(&self, second: Second<'a>, mut upstream: Upstream) -> Second<'a> {
        let member = self.pool.member(second.index);
        member.backend.metrics().requested(self.exchange.local.slot);
        let upload = self.upload(member, &mut upstream);
        let connect = (!upstream.is_reused()).then(|| second.begun.elapsed());
        Second { connect, stage: Stage::Asked(Box::new((upstream, upload))), ..second }
    }

    /// The first try has failed: all hope is with the second.
    async fn await_second(
        &mut self,
        mut second: Second<'a>,
        upstream: &mut Upstream,
        upload: &mut Upload,
    ) -> Result<Response, NoAnswer> {
        if let Stage::Connecting(connection) = &mut second.stage {
            let deadline = second.begun + 2 * self.bounds.upstream.connect;
            let connected = self.exchange.client.unless_gone(deadline, connection.as_mut()).await;
            // It is never late here: the connection gives up by itself after half of that.
            let connected = connected.unwrap_or(Err(NoAnswer::ClientGone));
            (self.index, self.asked) = (second.index, second.asked);
            second = self.ask_second(second, connected?);
        }
        self.become_second(second, upstream, upload);
        self.await_answer(upstream, upload).await
    }

    /// From here on this attempt is the second one; the connection of the first is closed, and its
    /// place given back.
    fn become_second(&mut self, second: Second<'a>, upstream: &mut Upstream, upload: &mut Upload) {
        let Stage::Asked(asked) = second.stage else {
            unreachable!("who has not been asked has nothing to say");
        };
        (*upstream, *upload) = *asked;
        self.index = second.index;
        self.asked = second.asked;
        self.in_flight = second.in_flight;
        self.record.member = Some(self.member());
        self.record.connect = second.connect;
    }

    /// The second has won: what the first had taken by now says how long it takes at the least.
    fn give_up_first(&self, upload: &Upload) {
        if let Some(sent) = upload.done_at() {
            self.pool.first_byte(sent.elapsed());
        }
        self.pool.given_up(self.index, self.asked);
        self.pool.pool.metrics.hedge_won(self.exchange.local.slot);
    }

    /// The second try came to nothing, or to a status that is not wanted: the first goes on alone,
    /// unless the client is at fault.
    fn drop_second(
        &self,
        second: Second<'a>,
        outcome: Result<u16, NoAnswer>,
    ) -> Result<(), NoAnswer> {
        let status = match outcome {
            Ok(status) => status,
            Err(none @ NoAnswer::Upstream { .. }) => {
                self.count_failed(second.index, &none);
                if let Stage::Asked(asked) = &second.stage
                    && none.is_silence()
                {
                    asked.0.distrust();
                }
                return Ok(());
            }
            Err(none) => return Err(none),
        };
        let Stage::Asked(asked) = &second.stage else {
            return Ok(());
        };
        let took = asked.1.done_at().map_or(Duration::ZERO, |at| at.elapsed());
        let metrics = self.pool.member(second.index).backend.metrics();
        metrics.responded(self.exchange.local.slot, status, took);
        match status {
            // Hints without an end.
            ..200 => self.pool.failed(second.index),
            _ => self.judge(second.index, status, second.connect.unwrap_or_default() + took),
        }
        Ok(())
    }

    /// As the story of the request counts what failed last.
    fn count_failed(&self, index: usize, none: &NoAnswer) {
        match none {
            NoAnswer::Upstream { reached, .. } if reached.is_of_connection() => {}
            _ => self.pool.failed(index),
        }
    }
}

/// Waits for whatever comes first.
async fn hear(
    client: &mut Downstream<'_>,
    bounds: &Bounds,
    heads: &mut Heads,
    (upstream, upload): (&mut Upstream, &mut Upload),
    mut second: Option<&mut Second<'_>>,
    mut late: Pin<&mut Sleep>,
) -> Heard {
    poll_fn(|context| {
        let (first, other) = (&mut heads.first, &mut heads.second);
        let first = exchange::poll_head(context, client, upstream, upload, first, bounds);
        if let Poll::Ready(heard) = first {
            return Poll::Ready(Heard::First(heard));
        }
        match second.as_mut().map(|second| &mut second.stage) {
            None => late.as_mut().poll(context).map(|()| Heard::Nothing),
            Some(Stage::Connecting(connection)) => {
                let connected = connection.as_mut().poll(context);
                connected
                    .map(|it| it.map_or_else(|none| Heard::Second(Err(none)), Heard::Connected))
            }
            Some(Stage::Asked(asked)) => {
                let (upstream, upload) = &mut **asked;
                let heard = exchange::poll_head(context, client, upstream, upload, other, bounds);
                heard.map(Heard::Second)
            }
        }
    })
    .await
}
