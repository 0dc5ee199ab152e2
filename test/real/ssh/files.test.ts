/** Files by every way that clients have, through the gateway: the same bytes, and what the book says of them. */
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import type { SshBook } from '../../support/ssh-book.ts'
import { run, sha256 } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MIB = 1024 * 1024
const remote = 'alice@127.0.0.1'

let sshd: Sshd
let gateway: TestGateway

beforeAll(async () => {
  sshd = await startSshd()
})

beforeEach(async () => {
  gateway = await startSshGateway(sshd)
})

afterEach(() => gateway[Symbol.asyncDispose]())

afterAll(() => sshd.stop())

const flags = () => gatewayOptions(sshd, gateway)
const metas = (book: SshBook): string => book.operations.map(({ meta }) => JSON.stringify(meta)).join('\n')
/** Operations on files, with paths as seen from the folder of this test. */
const fileOperations = ({ operations }: SshBook): readonly string[] =>
  operations
    .filter(({ act }) => act.startsWith('sftp.'))
    .map(
      ({ act, texts }) => `${act} ${texts['path']?.replaceAll(`${sshd.folder}/`, '').replace('\0', ' -> ')}`,
    )

describe('files', () => {
  const content = randomBytes(3 * MIB)
  const place = (name: string) => join(sshd.folder, name)
  beforeAll(() => {
    writeFileSync(place('source'), content)
  })

  test('by sftp: put, get, list, rename, remove, and the record of them', async () => {
    const batch = [
      `put ${place('source')} ${place('uploaded')}`,
      `get ${place('uploaded')} ${place('downloaded')}`,
      `ls -l ${sshd.folder}`,
      `mkdir ${place('made')}`,
      `rename ${place('uploaded')} ${place('made/renamed')}`,
      `chmod 600 ${place('made/renamed')}`,
      `rm ${place('made/renamed')}`,
      `rmdir ${place('made')}`,
    ]
    const { code, err } = await run('sftp', [...flags(), '-b', '-', remote], {
      input: `${batch.join('\n')}\n`,
    })
    expect([code, err]).toEqual([0, ''])
    expect(sha256(readFileSync(place('downloaded')))).toBe(sha256(content))
    const book = await closedBook(gateway)
    expect(fileOperations(book)).toEqual(
      expect.arrayContaining([
        'sftp.open uploaded',
        'sftp.mkdir made',
        'sftp.rename uploaded -> made/renamed',
        'sftp.setstat made/renamed',
        'sftp.remove made/renamed',
        'sftp.rmdir made',
      ]),
    )
    const hash = sha256(content)
    expect(metas(book)).toContain(JSON.stringify({ written: { bytes: content.length, sha256: hash } }))
    expect(metas(book)).toContain(JSON.stringify({ read: { bytes: content.length, sha256: hash } }))
    // Not a byte of the files is in the record.
    expect(book.operations.flatMap(({ frames }) => frames)).toEqual([])
  })

  test.each([
    ['by scp over SFTP', 'new', []],
    ['by scp as it was', 'old', ['-O']],
  ])('%s, both ways', async (_, name, how) => {
    const at = (file: string) => `${remote}:${place(file)}`
    const scp = (...args: readonly string[]) => run('scp', ['-q', ...how, ...flags(), ...args])
    expect(await scp(place('source'), at(`${name}-up`))).toMatchObject({ code: 0, err: '' })
    expect(await scp(at(`${name}-up`), place(`${name}-down`))).toMatchObject({ code: 0, err: '' })
    expect(sha256(readFileSync(place(`${name}-down`)))).toBe(sha256(content))
    const missing = await scp(at('not-there'), place('x'))
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('No such file')])
    const book = await closedBook(gateway)
    expect(metas(book).split(sha256(content))).toHaveLength(3)
  })

  test('by SFTP that runs as a program of its own', async () => {
    const server = '/usr/lib/openssh/sftp-server'
    const args = [...flags(), '-s', server, '-b', '-', remote]
    const { code } = await run('sftp', args, { input: `get ${place('source')} ${place('by-program')}\n` })
    expect(code).toBe(0)
    const book = await closedBook(gateway)
    expect(fileOperations(book)).toContain('sftp.open source')
    expect(metas(book)).toContain(sha256(content))
    expect(statSync(place('by-program')).size).toBe(content.length)
  })
})
