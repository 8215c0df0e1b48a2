//! Which stanzas are followed, in all processes: where one comes in, its connection manager decides.

use starling_admin::Refused;
use starling_admin::messages::{Missing, TraceAnswer, TraceChangeRequest, TraceStatusRequest};
use tracing::info;

use super::Control;
use super::cluster::Asked;
use crate::trace;

impl Control {
    pub(super) async fn followed(&self) -> Result<TraceAnswer, Refused> {
        let asked = self.ask_all("trace-status", &TraceStatusRequest::default()).await?;
        Ok(together(asked).unwrap_or_else(|_| trace::status(&self.reload.tracer)))
    }

    pub(super) async fn follow(&self, change: &TraceChangeRequest) -> Result<TraceAnswer, Refused> {
        trace::check(change).map_err(|error| Refused::Invalid(format!("{error:#}")))?;
        together(self.ask_all("trace-change", change).await?).map_err(|missing| {
            let own = missing.iter().find(|one| one.node == self.own.name());
            Refused::Conflict(own.map_or_else(|| "no process did it".to_owned(), |one| one.why.clone()))
        })
    }

    /// In this process.
    pub(super) fn follow_here(&self, change: &TraceChangeRequest) -> Result<TraceAnswer, Refused> {
        let tracer = &self.reload.tracer;
        if !tracer.has_receiver() {
            let why =
                "there is no receiver of spans: name one as otlp.endpoint, and start this process again";
            return Err(Refused::Conflict(why.to_owned()));
        }
        let changed =
            trace::change(tracer, change).map_err(|error| Refused::Invalid(format!("{error:#}")))?;
        info!(
            rate = changed.rate,
            accounts = changed.accounts.len(),
            "an administrator has said what is followed"
        );
        Ok(changed)
    }
}

/// What those follow that can; whoever follows something else is named. Where none can, what they say.
fn together(Asked { answers, mut missing }: Asked<TraceAnswer>) -> Result<TraceAnswer, Vec<Missing>> {
    let able = answers.iter().find(|(_, answer)| answer.has_receiver);
    let Some((_, shown)) = able.or(answers.first()).cloned() else { return Err(missing) };
    let mut reached = Vec::new();
    for (node, answer) in answers {
        if answer == shown {
            reached.push(node);
        } else {
            missing.push(Missing { node, why: otherwise(&answer) });
        }
    }
    missing.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(TraceAnswer { reached, missing, ..shown })
}

fn otherwise(answer: &TraceAnswer) -> String {
    if !answer.has_receiver {
        return "it has no receiver of spans (otlp.endpoint)".to_owned();
    }
    let accounts =
        if answer.accounts.is_empty() { "no account".to_owned() } else { answer.accounts.join(", ") };
    format!("it follows a rate of {}, {accounts}, {} a second at most", answer.rate, answer.most_per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(rate: f64, has_receiver: bool) -> TraceAnswer {
        TraceAnswer { rate, has_receiver, ..TraceAnswer::default() }
    }

    #[test]
    fn whoever_follows_something_else_is_named() {
        let answers = [
            ("a", follows(0.0, false)),
            ("b", follows(0.5, true)),
            ("c", follows(0.5, true)),
            ("d", follows(0.1, true)),
        ];
        let answers = answers.map(|(name, answer)| (name.to_owned(), answer)).to_vec();
        let gone = Missing { node: "e".to_owned(), why: "no answer".to_owned() };
        let shown = together(Asked { answers, missing: vec![gone] }).unwrap();
        assert_eq!(
            (shown.rate, shown.has_receiver, &shown.reached[..]),
            (0.5, true, &["b".to_owned(), "c".to_owned()][..])
        );
        let missing: Vec<_> =
            shown.missing.iter().map(|one| (&*one.node, one.why.contains("rate of 0.1"))).collect();
        assert_eq!(missing, [("a", false), ("d", true), ("e", false)]);
    }
}
