//! What a model costs, counted from its structure: work, state, parameters.

use std::collections::BTreeMap;

use super::adapter::Adapter;
use super::{Decl, Model, Part, Span, Work};

impl Model {
    /// The blocks' part of [`work`](Self::work), and whether a gradient is asked of what comes out of the last.
    fn work_of_blocks(&self, span: Span) -> (Work, bool) {
        let start = (Work::default(), self.embedding_trains);
        let blocks = self.blocks.iter().enumerate();
        blocks.fold(start, |(work, learns), (layer, block)| {
            let learns = learns || self.recall.trains(layer);
            let (of_block, after) = block.work(span.with_gradient(learns));
            (work + of_block, after)
        })
    }

    /// What these tokens of one window cost, forwards and backwards; the logits of all of them among it.
    pub fn work(&self, span: Span) -> Work {
        let (blocks, learns) = self.work_of_blocks(span);
        blocks + self.head.work(span.new, learns)
    }

    /// FLOPs of these tokens of one window when the model serves: low-rank changes are in their matrices then, and cost nothing.
    pub fn serving_flops(&self, span: Span) -> u64 {
        self.work(span).forward - self.merged_flops(span.new)
    }

    /// Of so many tokens, what is spared where low-rank changes are in their matrices.
    fn merged_flops(&self, tokens: u64) -> u64 {
        let each = self.adapters.iter().flat_map(Adapter::multiply_adds);
        2 * tokens * each.sum::<u64>()
    }

    /// FLOPs of a prompt of so many tokens when the model serves: only its last token is asked for logits.
    pub fn prompt_flops(&self, tokens: usize) -> u64 {
        let span = Span {
            seen: 0,
            new: tokens as u64,
            learns: false,
        };
        let all = self.work_of_blocks(span).0.forward + self.head_flops();
        all - self.merged_flops(span.new)
    }

    /// FLOPs of the logits after one token.
    pub fn head_flops(&self) -> u64 {
        self.head.work(1, false).forward
    }

    /// What training one window of so many tokens costs: that, and what the losses take that the spec adds, a teacher's pass among
    /// them.
    pub fn training(&self, time: usize) -> Work {
        let span = Span::window(time);
        let (blocks, learns) = self.work_of_blocks(span);
        let beside = self
            .losses
            .iter()
            .map(|l| l.work(span.with_gradient(learns)));
        blocks + self.head.work(span.new, learns) + beside.sum()
    }

    /// Scalars that decoding keeps of a window of so many tokens, all layers.
    pub fn state_scalars(&self, tokens: usize) -> u64 {
        let of_blocks = self.blocks.iter().map(|b| b.state_scalars(tokens));
        of_blocks.sum()
    }

    /// Whether all that decoding keeps are keys and values of tokens, as many of each, which may be kept more coarsely than a state that
    /// is summed up.
    pub fn keeps_tokens_only(&self) -> bool {
        let of = |tokens| self.state_scalars(tokens);
        of(1) > 0 && of(2) == 2 * of(1)
    }

    /// All parameters that are kept while it trains, those of losses among them.
    pub fn params_kept(&self) -> u64 {
        let parameters = self.decls.iter().filter(|decl| !decl.buffer);
        parameters.map(Decl::count).sum()
    }

    /// All parameters of the model that is trained: what only a loss has serves nobody, nor do low-rank changes beside their matrices.
    pub fn params_total(&self) -> u64 {
        self.of_service().map(Decl::count).sum()
    }

    fn of_service(&self) -> impl Iterator<Item = &Decl> {
        let serves = |decl: &&Decl| decl.serves && !decl.buffer;
        self.decls.iter().filter(serves)
    }

    /// Those that one token's logits are made with: all but what only a loss has, and of experts those that a token takes.
    pub fn params_active(&self) -> u64 {
        self.of_service().map(Decl::active).sum()
    }

    /// Those of [`params_total`](Self::params_total) by part, in the order of [`Part`].
    pub fn params_by_part(&self) -> BTreeMap<Part, u64> {
        let mut parts = BTreeMap::new();
        for decl in self.of_service() {
            *parts.entry(decl.part).or_default() += decl.count();
        }
        parts
    }
}
