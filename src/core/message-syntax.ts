/** What a message may carry besides its topic; `waybill.publish` has the same rules in SQL. */

/** Of UTF-8. */
export const maxKeyBytes = 1024

/** Of a message. */
export const maxHeaders = 128

/** A lower-case HTTP token (RFC 9110, 5.6.2) of up to 128 characters. */
export const headerName = /^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$/
