//! The chat page, built into the program: a server has no files to lose.

use starling_connection_manager::Page;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Its files, by the paths under which `index.html` names them.
pub(crate) const PAGE: Page = Page {
    files: &[
        ("/", HTML, include_bytes!("../assets/chat/index.html")),
        ("/chat.css", CSS, include_bytes!("../assets/chat/chat.css")),
        ("/chat.js", SCRIPT, include_bytes!("../assets/chat/chat.js")),
        ("/people.js", SCRIPT, include_bytes!("../assets/chat/people.js")),
        ("/scram.js", SCRIPT, include_bytes!("../assets/chat/scram.js")),
        ("/xmpp.js", SCRIPT, include_bytes!("../assets/chat/xmpp.js")),
    ],
};
