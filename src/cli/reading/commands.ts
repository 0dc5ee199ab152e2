/** The commands that read the book, and their options. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Io } from '../io.ts'
import { exportSession } from './export-session.ts'
import { playSession, tailSession } from './play.ts'
import { query } from './query.ts'
import { killSession, listSessions, showSession } from './sessions.ts'
import { stats } from './stats.ts'

type Run = (exit: Promise<number>) => void

const LIMIT = 50

export function addReading(root: Command, io: Io, run: Run): void {
  reading(root.command('query').description('find what was recorded: who ran what, where and when'))
    .argument('[search]', 'such as: actor:alice table:payments verb:DELETE since:7d', '')
    .option('--since <time>', 'from then on: 24h, now/d, 2026-11-01')
    .option('--limit <n>', 'rows at most', count, LIMIT)
    .addOption(new Option('-o, --output <form>').choices(['table', 'json', 'csv']).default('table'))
    .option('--follow', 'go on with what comes', false)
    .action((search: string, options) => run(query({ ...options, query: search }, io)))
  reading(root.command('stats').description('what has happened lately, in numbers'))
    .option('--since <time>', 'from then on', '24h')
    .addOption(form())
    .action((options) => run(stats(options, io)))
  addSessions(root.command('sessions').description('who was or is where, and what happened there'), io, run)
}

function addSessions(sessions: Command, io: Io, run: Run): void {
  reading(
    sessions
      .command('ls')
      .description('the sessions that are open; with a search, all in which something fits'),
  )
    .argument('[search]', "such as: actor:alice since:7d, or '' for all")
    .option('--limit <n>', 'sessions at most', count, LIMIT)
    .addOption(form())
    .action((search: string | undefined, options) =>
      run(listSessions({ ...options, ...(search === undefined ? {} : { query: search }) }, io)),
    )
  reading(
    sessions.command('show').description('one session: who, from where, and everything that happened in it'),
  )
    .argument('<session>')
    .addOption(form())
    .action((session: string, options) => run(showSession({ ...options, session }, io)))
  reading(sessions.command('play').description('play a recording here; a database session as a timeline'))
    .argument('<session>')
    .option('--speed <n>', 'times as fast', speed, 1)
    .option('--idle <seconds>', 'pauses last at most so long', seconds)
    .option('--skip-idle', 'the same as --idle 1', false)
    .option('--at <time>', 'begin there: 4:31')
    .option('--command <n>', 'begin at this command (gatebook sessions show)', count)
    .option('--op <n>', 'the recording of this operation', count)
    .action((session: string, { skipIdle, ...options }) =>
      run(playSession({ ...(skipIdle === true ? { idle: 1 } : {}), ...options, session }, io)),
    )
  reading(sessions.command('tail').description('watch a session as it happens; without one, everything'))
    .argument('[session]')
    .action((session: string | undefined, options) =>
      run(tailSession({ ...options, ...(session === undefined ? {} : { session }) }, io)),
    )
  reading(
    sessions
      .command('export')
      .description('a recording as asciicast, a transcript, or the evidence of a session'),
  )
    .argument('<session>')
    .requiredOption('-o, --output <path>', 'a new file; for evidence a new folder')
    .addOption(new Option('--format <form>').choices(['cast', 'text', 'evidence']).default('text'))
    .option('--op <n>', 'the recording of this operation', count)
    .option('--raw', 'as recorded, with what acts on a terminal', false)
    .option('--key <vkey>', 'the first public key, for the evidence')
    .action((session: string, options) => run(exportSession({ ...options, session }, io)))
  gateway(sessions.command('kill').description('end a session; its user is told'))
    .argument('<session>')
    .option('--reason <text>', 'told to the user and recorded')
    .action((session: string, options) => run(killSession({ ...options, session }, io)))
}

/** How a command finds its gateway, on this machine or elsewhere, or without one the keys of the book. */
function gateway(command: Command): Command {
  return command
    .option('--data <dir>', "the gateway's data directory")
    .option('--config <file>', 'its configuration')
    .option('--gateway <url>', "a gateway elsewhere: its console's address; else GATEBOOK_URL")
    .option(
      '--token-file <file>',
      'a personal token, where one is demanded; for --gateway also GATEBOOK_TOKEN',
    )
    .option('--ca <file>', "the authority of the gateway's certificate, instead of the system's")
}

function reading(command: Command): Command {
  return gateway(command).option('--reason <text>', 'why you look; recorded. Sensitive targets demand it')
}

function form(): Option {
  return new Option('-o, --output <form>').choices(['table', 'json']).default('table')
}

function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1')
  return Number(text)
}

function speed(text: string): number {
  const value = Number(text.replace(/x$/, ''))
  if (!(value >= 0.125 && value <= 64)) throw new InvalidArgumentError('expected a speed from 0.125 to 64')
  return value
}

function seconds(text: string): number {
  const value = Number(text.replace(/s$/, ''))
  if (!(value >= 0 && value <= 3600)) throw new InvalidArgumentError('expected seconds, at most 3600')
  return value
}
