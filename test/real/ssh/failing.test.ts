/** Complete, or refused: what a host is told, and what a person hears, when the book's disk fails or takes its time. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { FragileDisk } from '../../support/fragile-disk.ts'
import type { TestGateway } from '../../support/gateway.ts'
import { type Outcome, run, start } from '../../support/ssh-clients.ts'
import { sshThrough, startSshGateway } from '../../support/ssh-gateway.ts'
import { SharedConnection } from '../../support/ssh-shared.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

type Mode = 'standard' | 'strict'

let sshd: Sshd
let gateway: TestGateway
let disk: FragileDisk
let connection: SharedConnection
let names = 0

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

/** A gateway with one connection through it, on which further programs are begun. */
async function connected(mode: Mode): Promise<void> {
  gateway = await startSshGateway(sshd, {
    changes: [['durability: standard', `durability: ${mode}`]],
    openJournal: (path) => {
      disk = new FragileDisk(path)
      return disk
    },
  })
  names++
  connection = await SharedConnection.open(sshd, gateway)
}

afterEach(async () => {
  disk.release()
  await connection.end()
  // What could not be recorded makes the end an error too; the folder goes either way.
  await gateway[Symbol.asyncDispose]().catch(() => undefined)
})

const next = (command: string): Promise<Outcome> => connection.run(command)
const place = (name: string) => join(sshd.folder, `${name}-${names}`)

const MODES: readonly Mode[] = ['standard', 'strict']

describe('when the journal cannot be written', () => {
  test.each(MODES)('a command does not run, and the person is told why (%s)', async (mode) => {
    await connected(mode)
    disk.broken = 'write'
    const { code, err } = await next(`touch ${place('ran')}`)
    expect([code, err]).toEqual([77, expect.stringContaining('gatebook: this gateway cannot record')])
    expect(existsSync(place('ran'))).toBe(false)
  })

  test.each(MODES)('what is read by a program that runs does not reach it (%s)', async (mode) => {
    await connected(mode)
    const program = start('ssh', [...connection.flags, 'gateway', `echo ready; cat > ${place('read')}`])
    await program.shows('ready')
    program.type('first\n')
    await until(() => existsSync(place('read')) && readFileSync(place('read'), 'utf8') === 'first\n')
    disk.broken = 'write'
    program.type('second\n')
    expect((await program.ended).code).not.toBe(0)
    expect(readFileSync(place('read'), 'utf8')).toBe('first\n')
  })

  test('no file is opened for writing', async () => {
    await connected('standard')
    disk.broken = 'write'
    const args = [...connection.flags, join(sshd.folder, 'alice.pub'), `gateway:${place('copy')}`]
    expect(await run('scp', args)).not.toMatchObject({ code: 0 })
    expect(existsSync(place('copy'))).toBe(false)
  })

  test('whoever comes then is told so', async () => {
    await connected('standard')
    disk.broken = 'write'
    await next('true')
    const { code, err } = await sshThrough(sshd, gateway, ['true'], { login: 'alice' })
    expect([code, err]).toEqual([
      77,
      expect.stringContaining('gatebook: this gateway cannot record, so it does not connect'),
    ])
  })
})

describe('when the disk cannot be synced', () => {
  test('a command does not run (strict)', async () => {
    await connected('strict')
    disk.broken = 'sync'
    expect((await next(`touch ${place('ran')}`)).code).not.toBe(0)
    expect(existsSync(place('ran'))).toBe(false)
  })

  test('nobody hears that a command has ended (standard)', async () => {
    await connected('standard')
    disk.broken = 'sync'
    expect((await next('exit 0')).code).not.toBe(0)
  })
})

describe('while a sync takes its time', () => {
  test('a command does not begin (strict)', async () => {
    await connected('strict')
    disk.hold()
    const outcome = next(`touch ${place('ran')}; echo out`)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(existsSync(place('ran'))).toBe(false)
    disk.release()
    expect((await outcome).out.toString()).toBe('out\n')
    expect(existsSync(place('ran'))).toBe(true)
  })

  test('its output comes, and the word that it has ended does not (standard)', async () => {
    await connected('standard')
    disk.hold()
    const program = start('ssh', [...connection.flags, 'gateway', `echo out; touch ${place('ran')}; exit 5`])
    await program.shows('out')
    await until(() => existsSync(place('ran')))
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(program.hasEnded).toBe(false)
    disk.release()
    expect(await program.ended).toMatchObject({ code: 5 })
  })
})

async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; !holds() && attempt < 1000; attempt++)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
