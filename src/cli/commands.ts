/** Every command, its options, and the function that carries it out. */
import { type Argument, Command, Help, InvalidArgumentError, Option } from 'commander'
import type { Leaf, Scope } from '../book/format.ts'
import { systemClock } from '../system/clock.ts'
import { OperatorError } from '../system/operator-error.ts'
import { readSql } from '../wiring/sql.ts'
import { accessList, accessWhy } from './access.ts'
import { bookErase, bookRetain, bookRotateKey, bookStatus } from './book/book.ts'
import { exportBook } from './book/export.ts'
import { proof } from './book/proof.ts'
import { retentionPlan, retentionRun } from './book/retention.ts'
import { revealKey } from './book/reveal.ts'
import { verify } from './book/verify.ts'
import { check } from './check.ts'
import { connect } from './connect.ts'
import { demo } from './demo/demo.ts'
import { doctor } from './doctor/doctor.ts'
import { DEFAULT_CONFIG } from './gateway.ts'
import { init } from './init.ts'
import type { Io } from './io.ts'
import { pin } from './pin.ts'
import { addReading } from './reading/commands.ts'
import { RELEASE } from './release.ts'
import { serve } from './serve.ts'
import { tokenCreate, tokenList, tokenRevoke } from './token.ts'

/** What a command comes to: its exit code. */
type Run = (exit: Promise<number>) => void

const GRACE = '30s'

export function program(io: Io, run: Run): Command {
  const root = new Command('gatebook')
    .description('An access gateway that records every session in a log nobody can change unseen')
    .version(RELEASE)
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .exitOverride()
    .configureHelp({
      optionDescription: (option) => Help.prototype.optionDescription(told(option)),
      argumentDescription: (argument) => Help.prototype.argumentDescription(told(argument)),
    })
    .showHelpAfterError('(gatebook --help lists what there is)')
  root
    .command('demo')
    .description('a gateway with databases and a host behind it, on this machine, for trying')
    .option('--data <dir>', 'keep the book and all else in this folder')
    .option('--keep', 'keep the temporary folder at the end', false)
    .option('--port-base <n>', 'first port to listen on', port)
    .option('--json', 'print one line of JSON when all is ready', false)
    .action((options) => run(demo(options, io)))
  root
    .command('serve')
    .description('run the gateway; SIGHUP reloads its configuration, SIGTERM lets sessions end')
    .option('--config <file>', 'the configuration', DEFAULT_CONFIG)
    .addOption(
      new Option('--grace <time>', 'how long open sessions may go on after SIGTERM')
        .argParser(duration)
        .default(duration(GRACE), GRACE),
    )
    .option(
      '--accept-journal-loss',
      'go on although recorded entries were damaged; the gap is recorded',
      false,
    )
    .option('--take-over', 'take the place of the gateway that runs on the same data', false)
    .option('--token-file <file>', 'with --take-over: a personal token, where that gateway demands one')
    .action((options) => run(serve({ ...options, graceMs: options.grace }, io)))
  addTargets(root, io, run)
  addConfiguration(root, io, run)
  addTokens(root, io, run)
  addAccess(root, io, run)
  addReading(root, io, run)
  addEvidence(root, io, run)
  addBook(root, io, run)
  addRetention(root, io, run)
  pointToHelp(root, 'gatebook')
  return root
}

/** Whoever got a command's words wrong is shown to the help of that command. */
function pointToHelp(group: Command, path: string): void {
  for (const command of group.commands) {
    const called = `${path} ${command.name()}`
    command.showHelpAfterError(`(${called} --help says what it takes)`)
    pointToHelp(command, called)
  }
}

/** A default that is nothing is not worth telling. */
function told<Described extends Option | Argument>(described: Described): Described {
  const { defaultValue } = described
  const isNothing = defaultValue === false || defaultValue === '' || String(defaultValue) === ''
  return isNothing ? Object.assign(Object.create(described), { defaultValue: undefined }) : described
}

function addTargets(root: Command, io: Io, run: Run): void {
  root
    .command('connect')
    .description(
      'psql, mariadb or ssh to a target through the gateway; a small prompt where they are missing',
    )
    .argument('<target>')
    .argument('[args...]', 'for that program, behind --')
    .requiredOption('--user <name>', 'who you are to the gateway', process.env['USER'])
    .option('--database <name>', 'at the target')
    .option('--config <file>', 'tells where the gateway listens')
    .option('--host <host>', 'of the gateway')
    .option('--port <port>', 'of the gateway', port)
    .action((target: string, args: string[], options) => run(connect({ ...options, target, args }, io)))
  root
    .command('doctor')
    .description('log in to the targets as the gateway does; prove that read-only accounts cannot write')
    .argument('[target]')
    .option('--config <file>', 'the configuration', DEFAULT_CONFIG)
    .action((target: string | undefined, options) =>
      run(doctor(target === undefined ? options : { ...options, target }, io)),
    )
  root
    .command('pin')
    .description("show an SSH target's host key, and write it into its known_hosts when you say so")
    .argument('<target>')
    .option('--config <file>', 'the configuration', DEFAULT_CONFIG)
    .option('--expect <fingerprint>', 'pin this key and no other, without being asked')
    .action((target: string, options) => run(pin({ ...options, target }, io)))
}

function addConfiguration(root: Command, io: Io, run: Run): void {
  root
    .command('init')
    .description('write a first installation into a new folder')
    .argument('<folder>')
    .requiredOption('--name <name>', "the gateway's name, for good: the book is called after it")
    .option('--host <name...>', 'names and addresses under which clients reach it', [])
    .option('--user <name>', 'the first user', process.env['USER'] ?? 'admin')
    .action((folder: string, { name, host, user }) =>
      run(init({ folder, name, hosts: host, user, clock: systemClock }, io)),
    )
  root
    .command('check')
    .description('say what is wrong with a configuration, and what a change opens')
    .argument('[file]', 'the configuration', DEFAULT_CONFIG)
    .option('--baseline <file>', 'who may reach what as it was agreed; a difference exits with 5')
    .option('--write-baseline', 'write that file instead', false)
    .addOption(new Option('--format <form>').choices(['text', 'json', 'github']).default('text'))
    .action((file: string, options) => run(check({ ...options, file }, io)))
}

function addTokens(root: Command, io: Io, run: Run): void {
  const token = root.command('token').description('personal access tokens')
  const common = { clock: systemClock, env: process.env }
  local(token.command('create').description('make one; it is shown once'))
    .argument('<user>')
    .option('--label <text>', 'what it is for', '')
    .option('--expires <time>', 'a time such as 90d, or a date', '90d')
    .action((user: string, options) => run(tokenCreate({ ...options, ...common, user }, io)))
  local(token.command('ls').description('list them'))
    .argument('[user]')
    .action((user: string | undefined, options) =>
      run(tokenList({ ...options, ...common, ...(user === undefined ? {} : { user }) }, io)),
    )
  local(token.command('revoke').description('end one, and the sessions that used it'))
    .argument('<id>')
    .action((id: string, options) => run(tokenRevoke({ ...options, ...common, id }, io)))
}

function addAccess(root: Command, io: Io, run: Run): void {
  const access = root.command('access').description('who may reach what, and why')
  const clock = systemClock
  local(access.command('ls').description('everybody and everything')).action((options) =>
    run(accessList({ ...options, clock }, io)),
  )
  local(access.command('who').description('who may reach a target'))
    .argument('<target>')
    .action((target: string, options) => run(accessList({ ...options, clock, target }, io)))
  local(access.command('why').description('why somebody may, or may not'))
    .argument('<user>')
    .argument('<target>')
    .argument('[sql]', 'a statement to be judged too')
    .action((user: string, target: string, sql: string | undefined, options) =>
      run(accessWhy({ ...options, clock, user, target, ...(sql === undefined ? {} : { sql }), readSql }, io)),
    )
}

/** What works on files alone. */
function local(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration', DEFAULT_CONFIG)
    .addOption(new Option('-o, --output <form>').choices(['text', 'json']).default('text'))
}

function addEvidence(root: Command, io: Io, run: Run): void {
  root
    .command('verify')
    .description('check a book, a copy, an export or a proof, with the public key alone')
    .option('--data <dir>', "a gateway's data directory")
    .option('--book <path>', 'a copied book.db, or the folder of an export')
    .option('--proof <file>', 'one record with its evidence')
    .option('--key <vkey>', 'the first public key, kept elsewhere; or a file with it')
    .option('--checkpoint <file...>', 'checkpoints that were kept elsewhere')
    .option('--from <record>', 'take what lies below by its hashes', whole)
    .option('--remember <file>', 'keep the verified head there, and hold the next run against it')
    .option('--max-age <time>', 'the newest record must not be older', duration)
    .option('--max-gap <time>', 'between two records', duration)
    .option('--closed', 'no operation may be open at the end', false)
    .option('--require-evidence', 'exit with 5 where evidence from outside is missing', false)
    .option('--json', 'one object', false)
    .action(({ maxAge, maxGap, ...options }) =>
      run(
        verify(
          {
            ...options,
            ...(maxAge === undefined ? {} : { maxAgeMs: maxAge }),
            ...(maxGap === undefined ? {} : { maxGapMs: maxGap }),
          },
          io,
        ),
      ),
    )
  root
    .command('proof')
    .description('write the evidence of one record, to be verified offline')
    .argument('<record>', 'its index, index-hash as it is shown, or session.number as it was told')
    .requiredOption('-o, --output <file>', 'where to')
    .option('--data <dir>', "a gateway's data directory")
    .option(
      '--config <file>',
      'its configuration, where no gateway runs, and for --reveal: it says where the keys are',
    )
    .option('--gateway <url>', "a gateway elsewhere: its console's address; else GATEBOOK_URL")
    .option(
      '--token-file <file>',
      'a personal token, where one is demanded; for --gateway also GATEBOOK_TOKEN',
    )
    .option('--ca <file>', "the authority of the gateway's certificate, instead of the system's")
    .option('--book <path>', 'a copied book.db, or the folder of an export')
    .option('--key <vkey>', 'the first public key')
    .option('--payloads', 'with the ciphertexts that it names', false)
    .option('--reveal', "with its session's data key, which opens the whole session; this is recorded", false)
    .option('--reason <text>', 'for --reveal: recorded')
    .action((record: string, { reveal, ...options }) => {
      const handing = reveal ? { reveal: (session: Leaf) => revealKey(options, session) } : {}
      run(proof({ ...options, ...handing, record, payloads: reveal || options.payloads }, io))
    })
}

function addBook(root: Command, io: Io, run: Run): void {
  const book = root.command('book').description('the book itself')
  gateway(book.command('status').description('its size, head and state')).action((options) =>
    run(bookStatus(options, io)),
  )
  book
    .command('export')
    .description('write the book in the tile layout of transparency logs, for other programs')
    .argument('<folder>')
    .option('--data <dir>', "a gateway's data directory")
    .option('--book <file>', 'a copied book.db')
    .option('--payloads', 'with the ciphertexts', false)
    .action((folder: string, options) => run(exportBook({ ...options, folder }, io)))
  recorded(gateway(book.command('erase').description('destroy payloads; the book still verifies')))
    .option('--session <id...>', 'whole sessions, with their keys')
    .option('--payload <session.index...>', 'single payloads', payload)
    .option('--below <record>', 'of every session closed below this record', whole)
    .action((options) => run(bookErase({ ...options, scope: scopeOf(options) }, io)))
  recorded(gateway(book.command('retain').description('remove old records; their hashes stay')))
    .requiredOption('--below <record>', 'remove what lies below', whole)
    .action((options) => run(bookRetain(options, io)))
  recorded(gateway(book.command('rotate-key').description('sign with a new key from now on'))).action(
    (options) => run(bookRotateKey(options, io)),
  )
}

function addRetention(root: Command, io: Io, run: Run): void {
  const retention = root.command('retention').description('what is older than the configuration keeps it')
  const clock = systemClock
  gateway(retention.command('plan').description('say what may go')).action((options) =>
    run(retentionPlan({ ...options, clock }, io)),
  )
  gateway(retention.command('run').description('remove it; its hashes stay')).action((options) =>
    run(retentionRun({ ...options, clock }, io)),
  )
}

/** How a command finds its gateway. */
function gateway(command: Command): Command {
  return command
    .option('--data <dir>', "the gateway's data directory")
    .option('--config <file>', 'its configuration')
    .option('--token-file <file>', 'a personal token, where the gateway demands one')
}

function recorded(command: Command): Command {
  return command.option('--reason <text>', 'recorded with it')
}

interface EraseOptions {
  readonly session?: readonly string[]
  readonly payload?: readonly (readonly [string, number])[]
  readonly below?: number
}

function scopeOf({ session, payload: refs, below }: EraseOptions): Scope {
  if ([session, refs, below].filter((one) => one !== undefined).length !== 1) {
    throw new OperatorError('usage', 'name exactly one of --session, --payload and --below')
  }
  if (session !== undefined) return { sids: session }
  return refs === undefined ? { below: below ?? 0 } : { refs }
}

function payload(
  text: string,
  before: readonly (readonly [string, number])[] = [],
): (readonly [string, number])[] {
  const [, session, index] = /^([a-z2-7]{16})\.(\d{1,10})$/.exec(text) ?? []
  if (session === undefined) throw new InvalidArgumentError('expected <session>.<index>')
  return [...before, [session, Number(index)]]
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}

function port(text: string): number {
  const value = whole(text)
  if (value < 1 || value > 65_535) throw new InvalidArgumentError('expected a port, 1 to 65535')
  return value
}

function duration(text: string): number {
  const [, count, unit] = /^(\d{1,6})(ms|s|m|h)$/.exec(text) ?? []
  if (count === undefined) throw new InvalidArgumentError('expected a time such as 30s or 5m')
  return Number(count) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit ?? ''] ?? 0)
}
