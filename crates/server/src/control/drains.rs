//! The drain of any process, from any process.

use serde::{Deserialize, Serialize};
use starling_admin::Refused;
use starling_admin::messages::DrainAnswer;
use tracing::info;

use super::Control;
use super::cluster::Asked;

/// What is asked of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wish {
    Status,
    Start,
    /// Without a pace.
    StartNow,
    Abort,
}

/// The same, of one process: all are asked, and the others have nothing to say.
#[derive(Serialize, Deserialize)]
pub(super) struct Meant {
    node: String,
    wish: Wish,
}

impl Control {
    pub(super) async fn drain_of(&self, node: Option<String>, wish: Wish) -> Result<DrainAnswer, Refused> {
        let Some(node) = node.filter(|node| node != self.own.name()) else { return self.drain_here(wish) };
        let meant = Meant { node, wish };
        let Asked { answers, missing } = self.ask_all::<Option<DrainAnswer>>("drain", &meant).await?;
        if let Some(answer) = answers.into_iter().find_map(|(_, answer)| answer) {
            return Ok(answer);
        }
        Err(match missing.into_iter().find(|one| one.node == meant.node) {
            Some(silent) => Refused::Conflict(format!("{}: {}", silent.node, silent.why)),
            None => Refused::NotFound(format!(
                "no process is called {:?}: `starling ctl node list` has their names",
                meant.node
            )),
        })
    }

    /// For another process.
    pub(super) fn drain_if_meant(&self, meant: &Meant) -> Result<Option<DrainAnswer>, Refused> {
        if meant.node != self.own.name() {
            return Ok(None);
        }
        if meant.wish != Wish::Status {
            info!(wish = ?meant.wish, "an administrator asks for it at another process");
        }
        self.drain_here(meant.wish).map(Some)
    }

    fn drain_here(&self, wish: Wish) -> Result<DrainAnswer, Refused> {
        match wish {
            Wish::Status => {}
            Wish::Start | Wish::StartNow => {
                self.drain.start().map_err(|why| Refused::Conflict(why.to_string()))?;
                if wish == Wish::StartNow {
                    self.drain.hurry();
                }
            }
            Wish::Abort if self.drain.abort() => {}
            Wish::Abort => return Err(Refused::Conflict("nothing drains here".to_owned())),
        }
        Ok(DrainAnswer { node: self.own.name().to_owned(), ..self.drain.status() })
    }
}
