//! A node on a page, for `starling inspect`.

use starling_api::NodeView;

use super::nodes::containers;
use super::output::{Page, Style};
use super::units;

pub(super) fn node_page(node: &NodeView, style: Style) -> String {
    let of = |free: String, all: String| format!("{free} of {all} free");
    let labels = node
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let draining = if node.draining { ", draining" } else { "" };
    let engine = node.containers.as_ref().map_or_else(
        || "none: it runs processes only".to_owned(),
        |there| format!("{}, images for {}", containers(node), there.arch),
    );
    let pressure = [
        ("cpu", node.pressure.cpu),
        ("memory", node.pressure.memory),
        ("io", node.pressure.io),
        ("network", node.pressure.network),
    ];
    let pressure = pressure.map(|(what, share)| format!("{what} {}", units::percent(share)));
    Page::new(style)
        .fact("node", &node.name)
        .fact("id", &node.id)
        .fact("state", &format!("{}{draining}", node.state))
        .fact("platform", &node.platform)
        .fact("system", &format!("{} {}", node.os, node.arch))
        .fact("containers", &engine)
        .fact("labels", &labels.collect::<Vec<_>>().join(" "))
        .fact("tasks", &node.running.to_string())
        .fact(
            "cpu",
            &of(
                units::cores(node.free.cpu_millis),
                units::cores(node.capacity.cpu_millis),
            ),
        )
        .fact(
            "memory",
            &of(
                units::bytes(node.free.memory),
                units::bytes(node.capacity.memory),
            ),
        )
        .fact(
            "disk",
            &of(
                units::bytes(node.free.disk),
                units::bytes(node.capacity.disk),
            ),
        )
        .fact("pressure", &pressure.join(", "))
        .fact("addresses", &node.addresses.join(" "))
        .fact("version", &node.version)
        .fact("seen", &format!("{} ago", units::span(node.record_age_ms)))
        .finish()
}
