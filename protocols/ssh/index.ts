/** The SSH server role toward people, and what reads the record of it: all that src/ may import from here. */
export { type EphemeralKeys, freshEphemeralKeys } from './agreements.ts'
export type { Method, OfferedKey, Prompt, Proof, ProofAnswer } from './auth.ts'
export {
  type Certificate,
  type CertificateDemands,
  type CertificateGrant,
  checkCertificate,
} from './certificates.ts'
export { type ConnectionOptions, SshConnection } from './connection.ts'
export { HostConnection, HostError, readHostKey } from './host.ts'
export { type HostKey, hostKey, parsePrivateKey, publicBlob } from './host-keys.ts'
export type { HostCredential, HostOptions, LegacyAlgorithms } from './host-options.ts'
export { type HostPin, parseHostPin, parseKnownHosts } from './host-pins.ts'
export { type Hop, openHost } from './host-way.ts'
export { fingerprint, type PublicKey, parseKeyLine, parsePublicKey, type Touch } from './keys.ts'
export { PlaybackFilter, TERMINAL_RESET } from './playback.ts'
export type { RelayOptions } from './relay.ts'
export type {
  Destination,
  Endpoint,
  HostCommand,
  HostEvent,
  Program,
  SshStep,
  Terminal,
  Variable,
  Wish,
} from './steps.ts'
