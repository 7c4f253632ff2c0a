/** The style of a page that shows differences: light or dark as the reader prefers, and in lines that paper can hold. */
export const pageStyle = `
:root { color-scheme: light dark; --text: #1f2328; --quiet: #59636e; --page: #ffffff; --line: #d1d9e0; --head: #f6f8fa;
  --added: #dafbe1; --added-word: #a7f0b5; --removed: #ffebe9; --removed-word: #ffc1ba; --plus: #116329; --minus: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --page: #0d1117; --line: #3d444d; --head: #151b23;
  --added: #12261e; --added-word: #1f6f35; --removed: #2d1416; --removed-word: #86262b; --plus: #56d364; --minus: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--text); background: var(--page);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: .95rem; margin: 1.25rem 0 .4rem; overflow-wrap: anywhere; }
small { font-weight: normal; font-size: .85em; }
.summary, .sides, .note, .none { color: var(--quiet); }
.summary, .sides { margin: .2rem 0 0; }
.plus { color: var(--plus); } .minus { color: var(--minus); }
.prompt { margin-top: 1.5rem; padding: 1rem; border: 1px solid var(--line); border-radius: 6px; }
.badge { font-size: .75rem; font-weight: normal; padding: .1rem .5rem; border: 1px solid var(--line); border-radius: 1rem; }
.badge.added { color: var(--plus); } .badge.removed { color: var(--minus); }
table { width: 100%; border-collapse: collapse; border: 1px solid var(--line); }
td, th { text-align: left; vertical-align: top; padding: .1rem .5rem; font-weight: normal; }
.changes td, .changes th { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; white-space: pre-wrap; }
.changes thead, .skip { background: var(--head); color: var(--quiet); }
.lines, .changes td, .changes tbody th { font: 13px/1.5 ui-monospace, monospace; }
.lines .n { width: 1%; color: var(--quiet); text-align: right; user-select: none; }
.lines .s { width: 1%; user-select: none; }
.lines .t { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; tab-size: 4; }
.skip td { text-align: center; }
.added, .changes ins { background: var(--added); } .removed, .changes del { background: var(--removed); }
.badge.added, .badge.removed { background: none; }
ins, del { text-decoration: none; border-radius: 2px; }
.added ins { background: var(--added-word); } .removed del { background: var(--removed-word); }
@media print {
  :root { color-scheme: light; --text: #000; --quiet: #444; --page: #fff; --line: #999; --head: #f2f2f2;
    --added: #e6f7ea; --added-word: #b9e8c4; --removed: #fdeceb; --removed-word: #f5c4c0; --plus: #0a5a22; --minus: #8f0c20; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .lines, .changes td { font-size: 8.5pt; }
  .added, .removed, ins, del { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  ins { text-decoration: underline; } del { text-decoration: line-through; }
  .prompt { border: 0; padding: 0; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
}
`
