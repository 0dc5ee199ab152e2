/** A gateway elsewhere that cannot be asked, or does not answer: each time what was wrong is said. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commandWithin, MAIN } from '../support/gatebook.ts'
import { TestGateway } from '../support/gateway.ts'
import { newAuthority } from '../support/gateway-certificates.ts'
import { type Outcome, run } from '../support/ssh-clients.ts'

let gateway: TestGateway
let folder: string
let token: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatebook-remote-'))
  gateway = await TestGateway.start({
    targets: '',
    changes: [
      ['targets:\n', 'targets: {}\n'],
      [
        'auth:\n',
        '  console: { type: console, address: "127.0.0.1:0" }\n  unnamed: { type: console, address: "127.0.0.2:0" }\nauth:\n',
      ],
    ],
  })
  token = gateway.createToken('alice').secret
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const address = (): string => `https://localhost:${gateway.port('console')}`

/** `gatebook query` as a process of its own. */
function query(more: readonly string[], as = token): Promise<Outcome> {
  return run('node', [MAIN, 'query', 'x', '--gateway', address(), ...more], { env: { GATEBOOK_TOKEN: as } })
}

describe('what goes wrong is said with its reason, and what to do', () => {
  const tell = (url: string, more: readonly string[] = []): Promise<Outcome> =>
    commandWithin(['query', 'x', '--gateway', url, ...more], { GATEBOOK_TOKEN: token })

  test('by a process of its own: a certificate of nobody that is trusted', async () => {
    const { code, err } = await query([])
    expect(code).toBe(1)
    expect(err).toMatch(
      /^no answer from .*\n {2}why : .*vouches for its certificate.*\n {2}next: .*--ca FILE/,
    )
  })

  test('a token that is none of theirs', async () => {
    const { code, err, out } = await query(['--ca', gateway.caFile], `gatebook_${'a'.repeat(32)}`)
    expect([code, out.toString()]).toEqual([3, ''])
    expect(err).toMatch(
      /does not accept this token\n {2}why : .*revoked.*\n {2}next: gatebook token create.*\n {2}id {2}: \S+\n$/,
    )
  })

  test.each<[string, number, RegExp, () => Promise<Outcome>]>([
    [
      'a certificate of another authority than that',
      1,
      /vouches for its certificate/,
      () => {
        const ca = join(folder, 'other.pem')
        writeFileSync(ca, newAuthority('another').ca)
        return tell(address(), ['--ca', ca])
      },
    ],
    [
      'a certificate for another name',
      1,
      /why : .*altnames.*\n {2}next: use a name/,
      () => tell(`https://127.0.0.2:${gateway.port('unnamed')}`, ['--ca', gateway.caFile]),
    ],
    ['a file without certificates', 2, /holds no certificate/, () => tell(address(), ['--ca', MAIN])],
    [
      'no token',
      2,
      /wants a personal token\n {2}next: .*GATEBOOK_TOKEN/,
      () =>
        commandWithin(['query', 'x', '--gateway', address(), '--ca', gateway.caFile], { GATEBOOK_TOKEN: '' }),
    ],
    ['no such host', 1, /no host of that name/, () => tell('https://gw.invalid:8443')],
    [
      'a console that is off',
      1,
      /nothing listens there\n {2}next: .*listener of type console/,
      () => tell('https://127.0.0.1:1'),
    ],
    [
      'another listener of the gateway',
      1,
      /is not the console of a gateway\n {2}why : .*\n {2}next: .*type console/,
      () => tell(`https://localhost:${gateway.port()}`, ['--ca', gateway.caFile]),
    ],
    ['a token sent in clear', 2, /in clear: use https/, () => tell('http://gw.example.com')],
    [
      'a token in the address',
      2,
      /no token in the address/,
      () => tell('https://rita:secret@gw.example.com'),
    ],
    ['no address', 2, /no address of a console/, () => tell('gw.example.com:8443')],
    ['two gateways', 2, /--gateway is another machine/, () => tell(address(), ['--data', 'x'])],
  ])('%s', async (_, code, words, ask) => {
    const said = await ask()
    expect(said).toMatchObject({ code, err: expect.stringMatching(words) })
    expect(said.out.toString()).toBe('')
  })
})
