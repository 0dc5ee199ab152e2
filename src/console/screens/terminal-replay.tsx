/**
 * A terminal, played again or watched as it is written. Beside it what a person would say was done: commands that were
 * derived from what it showed, files that were carried, and all of it as plain text.
 */
import type { Player } from 'asciinema-player'
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { CommandsAnswer, FilesAnswer, RecordingRow, SessionRow } from '../../http/api.ts'
import { address, ask, request } from '../client.ts'
import { bytes, clockSpan, flat, timeOfDay } from '../format.ts'
import { socketAddress } from '../live.ts'
import { ProblemNote, Show, useLoad } from '../parts/load.tsx'
import { Copy, Empty, Recorded, RecordedBlock } from '../parts/small.tsx'
import { castEvents, transcriptOf } from '../parts/transcript.ts'
import { href, place } from '../router.ts'
import 'asciinema-player/dist/bundle/asciinema-player.css'

const SPEEDS: readonly number[] = [1, 2, 4, 8]
const IDLE_SECONDS_MAX = 2
const NO_PLAYER = {
  code: 'fault',
  what: 'The player could not be loaded.',
  next: 'Reload the page. The transcript beside needs no player.',
} as const

interface ReplayProps {
  readonly session: SessionRow
  readonly recordings: readonly RecordingRow[]
  readonly reason: string | undefined
  readonly onReason: (reason: string) => void
}

export function TerminalReplay({ session, recordings, reason, onReason }: ReplayProps): JSX.Element | null {
  const [op, setOp] = useState(recordings[0]?.op)
  const recording = recordings.find((one) => one.op === op) ?? recordings[0]
  if (recording === undefined) return null
  return (
    <section class="replay" aria-label="Terminal">
      {recordings.length > 1 && (
        <label class="quiet">
          Terminal{' '}
          <select value={recording.op} onChange={(event) => setOp(Number(event.currentTarget.value))}>
            {recordings.map(({ op: number, act, from }) => (
              <option key={number} value={number}>
                {act} at {timeOfDay(from)}
              </option>
            ))}
          </select>
        </label>
      )}
      <Terminal
        key={`${recording.op} ${session.closed === undefined}`}
        {...{ session, recording, reason, onReason }}
      />
    </section>
  )
}

interface TerminalProps extends Omit<ReplayProps, 'recordings'> {
  readonly recording: RecordingRow
}

function Terminal({ session, recording, reason, onReason }: TerminalProps): JSX.Element {
  const path = `/sessions/${session.session}/recordings/${recording.op}/tty`
  const cast = useLoad(`${path} ${reason ?? ''}`, async (signal) =>
    (await request(path, { reason, signal })).text(),
  )
  const commands = useLoad(`${session.session} ${reason ?? ''} ${cast.value?.length ?? 0}`, (signal) =>
    ask<CommandsAnswer>(`/sessions/${session.session}/commands`, { reason, signal }),
  )
  const own = (commands.value?.commands ?? []).filter(({ op }) => op === recording.op)
  const [player, setPlayer] = useState<Player>()
  const live = session.closed === undefined
  const [watching, setWatching] = useState(live)
  return (
    <Show of={cast} onReason={onReason}>
      {(text) => (
        <div class="replay-panes">
          {watching ? (
            <Watched session={session.session} op={recording.op} />
          ) : (
            <Played cast={text} commands={own} onPlayer={setPlayer} />
          )}
          <Beside
            {...{ session: session.session, cast: text, reason }}
            commands={own}
            onSeek={(marker) => {
              setWatching(false)
              player?.seek({ marker }).catch(() => undefined)
            }}
          />
          <p class="quiet replay-foot">
            {live && (
              <button type="button" onClick={() => setWatching(!watching)}>
                {watching ? 'Play from the beginning' : 'Watch it live'}
              </button>
            )}
            <a class="button" href={address(path)} download>
              .cast
            </a>
            <span>
              {bytes(recording.bytes)} recorded. What was typed shows only where the terminal echoed it.
            </span>
          </p>
        </div>
      )}
    </Show>
  )
}

function Watched({ session, op }: { readonly session: string; readonly op: number }): JSX.Element {
  const frame = useRef<HTMLDivElement>(null)
  const [failed, setFailed] = useState<unknown>()
  useEffect(() => {
    let player: Player | undefined
    let gone = false
    import('asciinema-player').then(({ create }) => {
      if (gone || frame.current === null) return
      const source = socketAddress(`/sessions/${session}/watch/${op}`)
      player = create(source, frame.current, { fit: 'width', autoPlay: true, controls: false })
    }, setFailed)
    return () => {
      gone = true
      player?.dispose()
    }
  }, [session, op])
  return (
    <div class="player">
      <p class="running">
        <span class="dot" aria-hidden="true" /> live
      </p>
      <div ref={frame} data-watching={op} />
      {failed !== undefined && <ProblemNote facts={NO_PLAYER} />}
    </div>
  )
}

interface PlayedProps {
  readonly cast: string
  readonly commands: CommandsAnswer['commands']
  readonly onPlayer: (player: Player | undefined) => void
}

/** Speed belongs to a player's making, so another speed is another player that begins where this one was. */
function Played({ cast, commands, onPlayer }: PlayedProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null)
  const at = useRef(Number(place.peek().query.get('t') ?? 0))
  const [speed, setSpeed] = useState(1)
  const [skipIdle, setSkipIdle] = useState(true)
  const [failed, setFailed] = useState<unknown>()
  const marks = commands.map(({ at: micros, text }) => `${micros} ${text}`).join('\n')
  // The marks stand for the commands.
  useEffect(() => {
    let player: Player | undefined
    let gone = false
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches
    import('asciinema-player').then(({ create }) => {
      if (gone || frame.current === null) return
      player = create({ data: cast }, frame.current, {
        fit: 'width',
        speed,
        startAt: at.current,
        autoPlay: !still && speed > 1,
        poster: `npt:${posterAt(commands)}`,
        preload: true,
        markers: commands.map(
          ({ at: micros, text }) => [micros / 1_000_000, flat(text).slice(0, 60)] as [number, string],
        ),
        ...(skipIdle ? { idleTimeLimit: IDLE_SECONDS_MAX } : {}),
      })
      onPlayer(player)
    }, setFailed)
    return () => {
      gone = true
      at.current = player?.getCurrentTime() ?? at.current
      player?.dispose()
      onPlayer(undefined)
    }
  }, [cast, speed, skipIdle, marks])
  const link = (): string => {
    const query = new URLSearchParams(location.search)
    query.set('t', String(Math.floor(at.current)))
    return `${location.origin}${location.pathname}?${query}`
  }
  return (
    <div class="player">
      <div ref={frame} data-playing />
      {failed !== undefined && <ProblemNote facts={NO_PLAYER} />}
      <p class="player-bar">
        <span role="group" aria-label="Speed" class="segments">
          {SPEEDS.map((times) => (
            <button key={times} type="button" aria-pressed={times === speed} onClick={() => setSpeed(times)}>
              {times}×
            </button>
          ))}
        </span>
        <label>
          <input
            type="checkbox"
            checked={skipIdle}
            onChange={(event) => setSkipIdle(event.currentTarget.checked)}
          />
          Skip idle time
        </label>
        <Copy text={link()} label="Copy link with time" />
        <span class="quiet">space plays, ←/→ 5 s, [ ] commands, f full screen</span>
      </p>
    </div>
  )
}

/** Before it is played it shows what stood there behind the first command, in seconds, and no empty screen. */
function posterAt(commands: CommandsAnswer['commands']): number {
  return (commands[1]?.at ?? commands[0]?.at ?? 1_000_000) / 1_000_000
}

type Tab = 'commands' | 'files' | 'transcript'

interface BesideProps {
  readonly session: string
  readonly cast: string
  readonly reason: string | undefined
  readonly commands: CommandsAnswer['commands']
  readonly onSeek: (marker: number) => void
}

function Beside({ session, cast, reason, commands, onSeek }: BesideProps): JSX.Element {
  const [tab, setTab] = useState<Tab>('commands')
  const tabs: readonly (readonly [Tab, string])[] = [
    ['commands', `Commands (${commands.length})`],
    ['files', 'Files'],
    ['transcript', 'Transcript'],
  ]
  return (
    <div class="replay-side">
      <div role="tablist" aria-label="What was done" class="tabs">
        {tabs.map(([name, title]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={tab === name}
            aria-controls="tab-panel"
            onClick={() => setTab(name)}
          >
            {title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`} class="tab-panel">
        {tab === 'commands' && <Commands commands={commands} onSeek={onSeek} />}
        {tab === 'files' && <Files session={session} reason={reason} />}
        {tab === 'transcript' && <RecordedBlock text={transcriptOf(castEvents(cast))} label="Transcript" />}
      </div>
    </div>
  )
}

function Commands({ commands, onSeek }: Pick<BesideProps, 'commands' | 'onSeek'>): JSX.Element {
  if (commands.length === 0) return <Empty>No command could be derived from what the terminal showed.</Empty>
  return (
    <ol class="commands">
      {commands.map(({ at, text, by, record }, i) => (
        <li key={`${record} ${at}`}>
          <button type="button" onClick={() => onSeek(i)} title={`derived by ${by}; click to see it`}>
            <span class="quiet">{clockSpan(at)}</span> <Recorded text={text} />
          </button>
          <a class="quiet" href={href(`/r/${record}`)} aria-label={`Record ${record}`}>
            ↗
          </a>
        </li>
      ))}
    </ol>
  )
}

function Files({
  session,
  reason,
}: {
  readonly session: string
  readonly reason: string | undefined
}): JSX.Element {
  const loaded = useLoad(`${session} ${reason ?? ''}`, (signal) =>
    ask<FilesAnswer>(`/sessions/${session}/files`, { reason, signal }),
  )
  return (
    <Show of={loaded}>
      {({ files }) =>
        files.length === 0 ? (
          <Empty>No file was carried.</Empty>
        ) : (
          <ul class="files">
            {files.map(({ op, act, path = '', direction, bytes: size, sha256, outcome, record }) => (
              <li key={`${op} ${path}`}>
                <span title={direction}>
                  {direction === 'read' ? '↓' : direction === 'written' ? '↑' : '·'}
                </span>{' '}
                <a href={href(`/r/${record}`)}>
                  <Recorded text={path} />
                </a>{' '}
                <span class="quiet">
                  {act} {size !== undefined && bytes(size)} {outcome !== 'ok' && outcome}
                </span>
                {sha256 !== undefined && (
                  <code class="quiet" title={sha256}>
                    {' '}
                    sha256 {sha256.slice(0, 12)}…
                  </code>
                )}
              </li>
            ))}
          </ul>
        )
      }
    </Show>
  )
}
