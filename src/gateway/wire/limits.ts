/** How long what crosses a link may be. */

/** The length of a packet, which stands before it. */
export const PACKET_HEAD_BYTES = 4
/** A packet that is longer ends its link: the longest message of a client or a command, and what stands around it. */
export const MAX_PACKET_BYTES = 40 * 1024 * 1024
