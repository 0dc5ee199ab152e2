/** One file that anybody can open: the evidence of a session, and the program that checks it, without a network. */
import { createHash } from 'node:crypto'
import { EVIDENCE_PAGE_SCRIPT, EVIDENCE_SCRIPT } from './evidence-script.ts'

const STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:75rem;margin:2rem auto;padding:0 1rem}
textarea{width:100%;font:inherit;font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.good{border-left:.5rem solid green;padding-left:1rem}.bad{border-left:.5rem solid red;padding-left:1rem}`

export function evidencePage(session: string, vkey: string, lines: readonly string[]): string {
  const script = EVIDENCE_SCRIPT + EVIDENCE_PAGE_SCRIPT
  const hash = createHash('sha256').update(script).digest('base64')
  const style = createHash('sha256').update(STYLE).digest('base64')
  // In JSON a "<" can be written so that no tag begins, whatever was recorded.
  const data = JSON.stringify(lines).replaceAll('<', '\\u003c')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-${hash}'; style-src 'sha256-${style}'">
<title>Evidence of session ${session}</title>
<style>${STYLE}</style>
<h1>Evidence of session ${session}</h1>
<p>This page checks, in this browser and without a network, that every record below is in a book of Gatebook as its
gateway signed it. <strong>The public key must come from elsewhere</strong>: from whoever kept it when the gateway was set
up. With the key that came in this file the check shows that the file agrees with itself, and nothing more.</p>
<p>What the check cannot show: that nothing of the session is missing at its end if it had not ended; what the texts
mean; and that they are what the sealed payloads open to, which takes the session's data key. An independent program is
better proof than a page: <code>gatebook verify --proof</code>, or your own by the format's description.</p>
<p><label for="key">The first public key of the book, as you kept it</label>
<textarea id="key" rows="2" spellcheck="false"></textarea></p>
<p><button id="check">Check</button> <button id="own" data-key="${attribute(vkey)}">Check with the key of this file, which proves nothing</button></p>
<p id="verdict" role="status" aria-live="polite"></p>
<table><thead><tr><th>Time</th><th>Record</th><th>What</th><th>Texts</th></tr></thead><tbody id="rows"></tbody></table>
<script type="application/json" id="evidence">${data}</script>
<script>${script}</script>
</html>
`
}

function attribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
