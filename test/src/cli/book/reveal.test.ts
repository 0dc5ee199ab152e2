import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { proof } from '../../../../src/cli/book/proof.ts'
import { revealKey } from '../../../../src/cli/book/reveal.ts'
import { verify } from '../../../../src/cli/book/verify.ts'
import { init } from '../../../../src/cli/init.ts'
import { readConfig } from '../../../../src/config/read.ts'
import { withBook } from '../../../../src/wiring/recording.ts'
import { temporaryFolder } from '../../../support/access.ts'
import { checkBook } from '../../../support/check-book.ts'
import { TestClock } from '../../../support/clock.ts'
import { captureIo, collectingIo } from '../../../support/io.ts'

/** An installation whose book holds one statement. */
async function installed(): Promise<{ folder: string; config: string; data: string; sid: string }> {
  const folder = join(temporaryFolder(), 'gw')
  const sizes = { journalBytes: 1 << 20, ballastBytes: 4096 }
  const named = { folder, name: 'gw1.example', hosts: [], user: 'alice' }
  await init({ ...named, clock: new TestClock(Date.now()), sizes }, captureIo().io)
  const config = join(folder, 'config.yaml')
  const loaded = await readConfig(config)
  if (loaded.type !== 'config') throw new Error('what init writes loads')
  const options = { loaded, env: {}, release: '0.0.0', acceptJournalLoss: false }
  const sid = await withBook(options, async (recorder) => {
    const session = await recorder.open({ act: 'pg', mode: 'standard', target: 'orders' })
    const payloads = [{ type: 'sql' as const, body: Buffer.from('select secret') }]
    session.record({ type: 'begin', op: 1, act: 'db.query', payloads })
    await recorder.committed(session.record({ type: 'end', op: 1, outcome: 'ok' }))
    return session.sid
  })
  return { folder, config, data: loaded.config.gateway.data_dir, sid }
}

test('a proof with its data key shows what was said, and the book says who handed the key out', async () => {
  const { config, data, sid } = await installed()
  const record = String(checkBook(data).leaves.findIndex((leaf) => leaf.sid === sid && leaf.kind === 'op'))
  const output = join(data, '..', 'proof.json')
  const key = readFileSync(join(data, 'book.vkey'), 'utf8').trim()
  const asked = { config, record, output, key, payloads: true }
  const reveal = (session: Parameters<typeof revealKey>[1]) =>
    revealKey({ config, reason: 'case 7' }, session)
  const io = collectingIo()
  expect(await proof({ ...asked, reveal }, io)).toBe(0)
  expect(io.err()).toContain('whoever has it can read the whole session')

  const read = collectingIo()
  expect(await verify({ proof: output, key }, read)).toBe(0)
  expect(read.out()).toContain('select secret')
  const told = checkBook(data, { closed: true }).leaves.filter(({ kind }) => kind === 'audit.read')
  expect(told).toMatchObject([{ act: 'reveal', sub: 'local', about: sid }])
})

test('a key that is destroyed is handed out to nobody, and nothing is written', async () => {
  const { config, data, sid } = await installed()
  const { leaves, size } = checkBook(data)
  const opening = leaves.find((leaf) => leaf.sid === sid)
  const wrong = { ...opening, com: Buffer.alloc(32).toString('base64') } as never
  await expect(revealKey({ config }, wrong)).rejects.toThrow('is not the one its opening leaf names')
  const unknown = { ...opening, sid: 'aaaaaaaaaaaaaaaa' } as never
  await expect(revealKey({ config }, unknown)).rejects.toThrow('has been destroyed')
  expect(checkBook(data).size).toBe(size)
  expect(existsSync(join(data, '..', 'proof.json'))).toBe(false)
})
