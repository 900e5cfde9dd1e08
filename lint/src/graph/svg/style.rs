//! Colours and strokes. The islands' colours are those of Okabe and Ito, which people with any kind of colour vision
//! tell apart; text on them has a contrast of at least 4.5.

/// How many colours there are; more islands begin again.
pub(super) const COLORS: usize = 5;

pub(super) const STYLE: &str = "\
.coalmine-graph{font-family:ui-sans-serif,system-ui,-apple-system,\"Segoe UI\",Helvetica,Arial,sans-serif}
.coalmine-graph text{fill:#1f2328}
.coalmine-graph .page{fill:#ffffff}
.coalmine-graph .heading{font-size:14px;font-weight:600}
.coalmine-graph .title{font-size:12px;font-weight:600}
.coalmine-graph .tab{font-size:11px;font-weight:600}
.coalmine-graph .small,.coalmine-graph .band text{font-size:10px}
.coalmine-graph .muted{fill:#59636e}
.coalmine-graph .box,.coalmine-graph .label{fill:#ffffff;stroke:#818b98;stroke-width:1.2}
.coalmine-graph .gateway .box,.coalmine-graph .client .box{fill:#f6f8fa}
.coalmine-graph .rule{stroke:#d1d9e0;stroke-width:1}
.coalmine-graph .apart .box,.coalmine-graph .idle .box{stroke-dasharray:2 3}
.coalmine-graph .chip rect{fill:#eaeef2}
.coalmine-graph .line,.coalmine-graph .shackle,.coalmine-graph .badge path{fill:none}
.coalmine-graph .line{stroke:#6e7781;stroke-width:1.6}
.coalmine-graph .tip,.coalmine-graph .body{fill:#6e7781}
.coalmine-graph .shackle{stroke:#6e7781;stroke-width:1.3}
.coalmine-graph .lock circle{fill:#ffffff;stroke:#6e7781;stroke-width:1}
.coalmine-graph .label{stroke:#6e7781;stroke-width:1}
.coalmine-graph .mirror .line,.coalmine-graph .selects .line{stroke-dasharray:2 4}
.coalmine-graph .band rect{stroke-width:1.2}
.coalmine-graph .band text{font-weight:600}
.coalmine-graph .i0.band rect,.coalmine-graph .i0 .chip rect{fill:#e3effb}.coalmine-graph .i0 .box,.coalmine-graph .i0.band rect,.coalmine-graph .i0 .line,.coalmine-graph .i0 .label,.coalmine-graph .i0 .shackle,.coalmine-graph .i0 .lock circle{stroke:#0072b2}.coalmine-graph .i0 .tip,.coalmine-graph .i0 .body{fill:#0072b2}.coalmine-graph .i0.band text{fill:#005a8e}
.coalmine-graph .i1.band rect,.coalmine-graph .i1 .chip rect{fill:#fdf0dd}.coalmine-graph .i1 .box,.coalmine-graph .i1.band rect,.coalmine-graph .i1 .line,.coalmine-graph .i1 .label,.coalmine-graph .i1 .shackle,.coalmine-graph .i1 .lock circle{stroke:#c76b00}.coalmine-graph .i1 .tip,.coalmine-graph .i1 .body{fill:#c76b00}.coalmine-graph .i1.band text{fill:#8a4b00}
.coalmine-graph .i2.band rect,.coalmine-graph .i2 .chip rect{fill:#e0f5ee}.coalmine-graph .i2 .box,.coalmine-graph .i2.band rect,.coalmine-graph .i2 .line,.coalmine-graph .i2 .label,.coalmine-graph .i2 .shackle,.coalmine-graph .i2 .lock circle{stroke:#008562}.coalmine-graph .i2 .tip,.coalmine-graph .i2 .body{fill:#008562}.coalmine-graph .i2.band text{fill:#006b4e}
.coalmine-graph .i3.band rect,.coalmine-graph .i3 .chip rect{fill:#f9e9f2}.coalmine-graph .i3 .box,.coalmine-graph .i3.band rect,.coalmine-graph .i3 .line,.coalmine-graph .i3 .label,.coalmine-graph .i3 .shackle,.coalmine-graph .i3 .lock circle{stroke:#b0568d}.coalmine-graph .i3 .tip,.coalmine-graph .i3 .body{fill:#b0568d}.coalmine-graph .i3.band text{fill:#853b69}
.coalmine-graph .i4.band rect,.coalmine-graph .i4 .chip rect{fill:#fbf8d9}.coalmine-graph .i4 .box,.coalmine-graph .i4.band rect,.coalmine-graph .i4 .line,.coalmine-graph .i4 .label,.coalmine-graph .i4 .shackle,.coalmine-graph .i4 .lock circle{stroke:#8a8000}.coalmine-graph .i4 .tip,.coalmine-graph .i4 .body{fill:#8a8000}.coalmine-graph .i4.band text{fill:#635c00}
.coalmine-graph .cross .line{stroke:#cf222e;stroke-width:2.2;stroke-dasharray:9 3 2 3}
.coalmine-graph .cross .tip{fill:#cf222e}
.coalmine-graph .cross .label,.coalmine-graph .lock.broken circle,.coalmine-graph .lock.broken .shackle{stroke:#cf222e}
.coalmine-graph .lock.broken .shackle{stroke-width:2}
.coalmine-graph .lock.plain circle,.coalmine-graph .lock.plain .shackle{stroke:#9a6700}
.coalmine-graph .added .box,.coalmine-graph .added .line{stroke-width:2.6}
.coalmine-graph .removed .box,.coalmine-graph .removed .line,.coalmine-graph .removed .label,.coalmine-graph .chip.removed rect{stroke-dasharray:5 4;stroke:#818b98}
.coalmine-graph .removed .box{fill:none}
.coalmine-graph .removed .tip{fill:#818b98}
.coalmine-graph .removed text{opacity:.7}
.coalmine-graph .badge circle{fill:#59636e}
.coalmine-graph .badge path{stroke:#ffffff;stroke-width:1.8;stroke-linecap:round}
.coalmine-graph .badge.added circle{fill:#1a7f37}
.coalmine-graph .badge.changed circle{fill:#9a6700}
.coalmine-graph.focus .edge,.coalmine-graph.focus .marks,.coalmine-graph.focus .node{opacity:.3}
.coalmine-graph.focus .on{opacity:1}
.coalmine-graph.focus .on .line{stroke-width:3}
@media (prefers-color-scheme:dark){
.coalmine-graph text{fill:#f0f6fc}
.coalmine-graph .page{fill:#0d1117}
.coalmine-graph .muted{fill:#9198a1}
.coalmine-graph .box,.coalmine-graph .label{fill:#161b22;stroke:#656c76}
.coalmine-graph .gateway .box,.coalmine-graph .client .box{fill:#212830}
.coalmine-graph .rule{stroke:#3d444d}
.coalmine-graph .chip rect{fill:#2f3742}
.coalmine-graph .line,.coalmine-graph .shackle,.coalmine-graph .label{stroke:#9198a1}
.coalmine-graph .tip,.coalmine-graph .body{fill:#9198a1}
.coalmine-graph .lock circle{fill:#161b22;stroke:#9198a1}
.coalmine-graph .i0.band rect,.coalmine-graph .i0 .chip rect{fill:#0c2439}.coalmine-graph .i0 .box,.coalmine-graph .i0.band rect,.coalmine-graph .i0 .line,.coalmine-graph .i0 .label,.coalmine-graph .i0 .shackle,.coalmine-graph .i0 .lock circle{stroke:#56b4e9}.coalmine-graph .i0 .tip,.coalmine-graph .i0 .body{fill:#56b4e9}.coalmine-graph .i0.band text{fill:#8fcdf3}
.coalmine-graph .i1.band rect,.coalmine-graph .i1 .chip rect{fill:#33230c}.coalmine-graph .i1 .box,.coalmine-graph .i1.band rect,.coalmine-graph .i1 .line,.coalmine-graph .i1 .label,.coalmine-graph .i1 .shackle,.coalmine-graph .i1 .lock circle{stroke:#e69f00}.coalmine-graph .i1 .tip,.coalmine-graph .i1 .body{fill:#e69f00}.coalmine-graph .i1.band text{fill:#f2c063}
.coalmine-graph .i2.band rect,.coalmine-graph .i2 .chip rect{fill:#0a2b22}.coalmine-graph .i2 .box,.coalmine-graph .i2.band rect,.coalmine-graph .i2 .line,.coalmine-graph .i2 .label,.coalmine-graph .i2 .shackle,.coalmine-graph .i2 .lock circle{stroke:#2cc79b}.coalmine-graph .i2 .tip,.coalmine-graph .i2 .body{fill:#2cc79b}.coalmine-graph .i2.band text{fill:#7fe0c3}
.coalmine-graph .i3.band rect,.coalmine-graph .i3 .chip rect{fill:#33182a}.coalmine-graph .i3 .box,.coalmine-graph .i3.band rect,.coalmine-graph .i3 .line,.coalmine-graph .i3 .label,.coalmine-graph .i3 .shackle,.coalmine-graph .i3 .lock circle{stroke:#cc79a7}.coalmine-graph .i3 .tip,.coalmine-graph .i3 .body{fill:#cc79a7}.coalmine-graph .i3.band text{fill:#e6adcb}
.coalmine-graph .i4.band rect,.coalmine-graph .i4 .chip rect{fill:#2b280a}.coalmine-graph .i4 .box,.coalmine-graph .i4.band rect,.coalmine-graph .i4 .line,.coalmine-graph .i4 .label,.coalmine-graph .i4 .shackle,.coalmine-graph .i4 .lock circle{stroke:#d8cd3a}.coalmine-graph .i4 .tip,.coalmine-graph .i4 .body{fill:#d8cd3a}.coalmine-graph .i4.band text{fill:#f0e97f}
.coalmine-graph .cross .line,.coalmine-graph .cross .label,.coalmine-graph .lock.broken circle,.coalmine-graph .lock.broken .shackle{stroke:#ff7b72}
.coalmine-graph .cross .tip{fill:#ff7b72}
.coalmine-graph .lock.plain circle,.coalmine-graph .lock.plain .shackle{stroke:#e3b341}
.coalmine-graph .removed .box,.coalmine-graph .removed .line,.coalmine-graph .removed .label{stroke:#7d8590}
.coalmine-graph .removed .box{fill:none}
.coalmine-graph .removed .tip{fill:#7d8590}
}
";

/// Added where a request fails.
pub(super) const FAILED: &str = "\
.coalmine-graph .badge.fails circle{fill:#cf222e}
.coalmine-graph .failed .line{stroke:#cf222e;stroke-dasharray:6 4}
.coalmine-graph .failed .tip{fill:#cf222e}
.coalmine-graph .failed .label{stroke:#cf222e}
.coalmine-graph .node.failed .box{stroke:#cf222e;stroke-width:2.2}
@media (prefers-color-scheme:dark){
.coalmine-graph .badge.fails circle{fill:#da3633}
.coalmine-graph .failed .line,.coalmine-graph .failed .label,.coalmine-graph .node.failed .box{stroke:#ff7b72}
.coalmine-graph .failed .tip{fill:#ff7b72}
}
";
