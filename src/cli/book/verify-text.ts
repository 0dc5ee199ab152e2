/** What `verify` says: items with counts and times, the findings, the result, and what could not be established. */
import type { Finding, Limit, Report } from '../../book/verify/report.ts'
import { EXIT } from '../../book/verify/report.ts'
import type { ProofReport } from '../../book/verify-proof.ts'
import { type Io, visible } from '../io.ts'

/** Findings that are printed one by one; all of them are counted, and JSON has up to a thousand. */
const FINDINGS_SHOWN = 20

export interface Times {
  readonly seconds: number
  readonly integrityMs: number | undefined
}

export function writeReport(
  report: Report,
  exit: number,
  times: Times,
  json: boolean,
  out: Io['stdout'],
): void {
  if (json) {
    out.write(`${JSON.stringify({ exit, seconds: times.seconds, ...report })}\n`)
    return
  }
  const lines = [...items(report, times), ...result(report, exit), ...limits(report.limits)]
  out.write(lines.map((line) => `${visible(line)}\n`).join(''))
}

/** A book whose file is so broken that there is nothing to report on. */
export function writeBroken(text: string, json: boolean, out: Io['stdout']): void {
  const finding: Finding = { code: 'sqlite', text }
  if (json)
    out.write(`${JSON.stringify({ exit: EXIT.broken, findings: [finding], counts: { sqlite: 1 } })}\n`)
  else out.write(`BROKEN: ${visible(text)} (sqlite)\n`)
}

function items(report: Report, { seconds, integrityMs }: Times): string[] {
  const { size, first, checkpoints, keys, payloads, sessions, counts } = report
  const broken = new Set(report.findings.flatMap(({ seq }) => seq ?? [])).size
  const lines = [
    item('book', report.origin),
    item(
      'records',
      size === 0 ? 'none' : `${first} … ${size - 1}`,
      `${size - first} hashed, ${broken} broken`,
      `${seconds.toFixed(1)} s`,
    ),
    item(
      'checkpoints',
      `${checkpoints.kept} kept`,
      signatures(report),
      `key${keys.length > 1 ? 's' : ''} ${keys.map(({ id }) => id).join(' ')}`,
    ),
    item('outside', `${checkpoints.outside} checkpoints`, checkpoints.outside > 0 ? 'agree' : ''),
    item('payloads', `${payloads.checked} checked`, `${bytes(payloads.bytes)}, ${payloads.erased} erased`),
    item('sessions', `${sessions.opened} opened`, `${sessions.open} open at the end`),
  ]
  if (integrityMs !== undefined) {
    lines.push(
      item(
        'file',
        counts.sqlite === undefined ? 'sound to SQLite' : 'damaged',
        '',
        `${(integrityMs / 1000).toFixed(1)} s`,
      ),
    )
  }
  return lines
}

function item(name: string, ...cells: readonly string[]): string {
  const [first = '', second = '', third = ''] = cells
  return `${name.padEnd(13)}${first.padEnd(20)}${second.padEnd(32)}${third}`.trimEnd()
}

function signatures({ counts }: Report): string {
  const bad = (['checkpoint', 'signature', 'epoch', 'root', 'truncated', 'head'] as const).filter(
    (code) => counts[code] !== undefined,
  )
  return bad.length === 0 ? 'signatures and roots hold' : `broken: ${bad.join(', ')}`
}

function bytes(count: number): string {
  if (count < 1024) return `${count} bytes`
  return count < 1024 ** 2 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1024 ** 2).toFixed(1)} MiB`
}

function result(report: Report, exit: number): string[] {
  const { findings, counts, firstBroken, lastGood, error } = report
  const lines = error === undefined ? [] : [`ERROR: ${error}`]
  if (exit === EXIT.ok) return ['OK']
  if (exit === EXIT.evidence) return ['OK, but evidence from outside is missing']
  if (exit !== EXIT.broken) return lines
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  lines.push(...findings.slice(0, FINDINGS_SHOWN).map(({ code, text }) => `  ${code.padEnd(16)} ${text}`))
  if (total > FINDINGS_SHOWN) lines.push(`  and ${total - FINDINGS_SHOWN} more: ${tally(counts)}`)
  const [worst = findings[0]] = findings.filter(({ seq }) => seq === firstBroken && seq !== undefined)
  const where = firstBroken === undefined ? '' : ` at #${firstBroken}`
  lines.push(`BROKEN${where}: ${worst?.text ?? ''}; last good checkpoint: ${good(lastGood)}`)
  return lines
}

function tally(counts: Report['counts']): string {
  return Object.entries(counts)
    .map(([code, count]) => `${count} ${code}`)
    .join(', ')
}

function good(checkpoint: Report['lastGood']): string {
  if (checkpoint === undefined) return 'none'
  const { size, ts } = checkpoint
  if (ts === undefined) return `size ${size}`
  return `size ${size} (${new Date(ts / 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC)`
}

function limits(all: readonly Limit[]): string[] {
  return ['could not establish', ...all.map(({ text }) => `  - ${text}`)]
}

export function writeProof(report: ProofReport, json: boolean, out: Io['stdout']): void {
  const { record, session, size, keys, payloads, findings } = report
  if (json) {
    const shown = payloads.map(({ ref, body }) => ({
      ...ref,
      body: body === undefined ? undefined : Buffer.from(body).toString('base64'),
    }))
    out.write(
      `${JSON.stringify({ exit: findings.length === 0 ? EXIT.ok : EXIT.broken, ...report, payloads: shown })}\n`,
    )
    return
  }
  const lines = [
    item('record', record === undefined ? 'none' : `${record.seq} of ${size}`, record?.kind ?? ''),
    item('book', record?.log ?? '', `${keys} changes of key`),
    item('session', session?.sid ?? 'none'),
    ...payloads.map(({ ref, body }) =>
      item(
        'payload',
        `${ref.t}, ${ref.n} bytes`,
        body === undefined ? 'ciphertext as recorded' : Buffer.from(body).toString(),
      ),
    ),
    ...findings.map(({ code, text }) => `BROKEN: ${text} (${code})`),
    ...(findings.length === 0 ? ['OK'] : []),
    ...limits(report.limits),
  ]
  out.write(lines.map((line) => `${visible(line)}\n`).join(''))
}
