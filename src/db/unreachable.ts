import { databasePlace } from '../core/database-url.js'
import { codeOf, messageOf, WaybillError } from '../core/errors.js'
import { isLastingTlsError } from '../core/tls-errors.js'
import { isConnectionError } from './sqlstate.js'

// invalid_authorization_specification, invalid_password, invalid_catalog_name; insufficient_privilege is CONNECT's
const refusals = new Set(['28000', '28P01', '3D000', '42501'])

const addressRemedy =
  'check the address in its URL (WAYBILL_DATABASE_URL, or database.url), and that the server takes connections'
const refusedRemedy = 'check the user, the password and the name of the database in its URL'
const trustRemedy =
  'its certificate is not trusted: name the certificate of who signed it with sslrootcert=/path/ca.pem in the URL (or NODE_EXTRA_CA_CERTS), connect by a name that it carries, or, where the network is yours alone, give sslmode=no-verify'
const plainRemedy =
  'it has no TLS: turn it on there (ssl = on), or give sslmode=disable where the network is yours alone'

const fileRemedy =
  'sslrootcert, sslcert and sslkey in its URL name files that this process can read; for the certificates of the system leave sslrootcert out'

/**
 * What a failed connect means, with the address and without the password. Other errors are given back as they are.
 * `then` is what to do afterwards, where there is more than to try again.
 */
export function asUnreachable(error: unknown, connectionString: string, then = ''): unknown {
  const code = codeOf(error)
  const remedy = remedyOf(error, code)
  if (remedy === undefined) return error
  const why = code === undefined || code === messageOf(error) ? messageOf(error) : reason(error, code)
  return new WaybillError(
    'WAYBILL_DATABASE_UNREACHABLE',
    `no connection to ${databasePlace(connectionString)} (${why}); ${remedy}${then}`,
    { cause: error },
  )
}

/** Node's texts only say the address again. */
function reason(error: unknown, code: string): string {
  return refusals.has(code) || isLastingTlsError(code) || code === 'ENOENT' ? `${messageOf(error)}, ${code}` : code
}

function remedyOf(error: unknown, code: string | undefined): string | undefined {
  if (code === 'ENOENT' || code === 'EACCES')
    return error instanceof Error && 'syscall' in error && error.syscall === 'open' ? fileRemedy : addressRemedy
  if (code !== undefined && refusals.has(code)) return refusedRemedy
  if (isLastingTlsError(code)) return trustRemedy
  if (messageOf(error) === 'The server does not support SSL connections') return plainRemedy
  return isConnectionError(error) ? addressRemedy : undefined
}
