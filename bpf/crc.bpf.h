/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How does SCTP's checksum change with a port? It is a CRC32c of the whole packet (RFC 9260, section 6.8 and appendix
 * A), and that is linear: what is changed, multiplied by x to the power of the bits from there to the end. So nothing
 * but the port and the length needs to be known.
 */
#ifndef CAUSEWAY_CRC_BPF_H
#define CAUSEWAY_CRC_BPF_H

#include "checksum.bpf.h"
#include "kernel.bpf.h"

/* RFC 9260, section 3.1: before the chunks. */
struct sctp_header {
	__be16 source, destination;
	__be32 tag;
	__le32 checksum; /* covers all from source on, and no address */
};

#define CRC32C_POLYNOMIAL 0x82f63b78 /* without x^32; as all here, x^31 is the lowest bit */
#define CRC_LENGTH_BITS 16           /* of bytes that a CRC can be moved by */

/* x^(8 * 2^n) modulo the polynomial: by which a CRC is multiplied when 2^n bytes follow. */
static const __u32 crc_powers[CRC_LENGTH_BITS] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
	0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

/* Of two polynomials over GF(2), modulo that one. A function of its own to the verifier. */
__noinline __u32 crc_product(__u32 one, __u32 other)
{
	__u32 product = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 32; i++) {
		product ^= one & -(other >> 31);
		other <<= 1;
		one = one >> 1 ^ (CRC32C_POLYNOMIAL & -(one & 1));
	}
	return product;
}

/*
 * What a CRC gains, by exclusive or, when the first two of so many bytes change by difference. A function of its own to
 * the verifier.
 */
__noinline __u32 crc_gain(__u32 difference, __u32 bytes)
{
	__u32 gain = difference; /* the bits of its two bytes are among those to the end */

#pragma clang loop unroll(disable)
	for (int i = 0; i < CRC_LENGTH_BITS; i++)
		if (bytes >> i & 1)
			gain = crc_product(gain, crc_powers[i]);
	return gain;
}

/* A kernel that does not tell leaves it to its devices as 0, which a real one all but never is. */
static __always_inline bool is_crc_to_be_made(struct __sk_buff *skb, __u32 place, __u32 crc)
{
	return kernels_own(skb) ? is_to_be_made(skb, place) : !crc;
}

/*
 * place: of the checksum; difference: of the port, as for crc_gain; bytes: of the packet, from the port on. A function
 * of its own to the verifier; the answer is an enum verdict.
 */
__noinline int mend_crc(struct __sk_buff *skb, __u32 place, __u32 difference, __u32 bytes)
{
	__u32 *crc = bytes_at(skb, place, sizeof(*crc)), before, after;

	if (!crc)
		return VERDICT_DROP_REWRITE;
	before = *crc;
	if (is_crc_to_be_made(skb, place, before))
		return VERDICT_CONTINUE;
	if (bytes >> CRC_LENGTH_BITS)
		return VERDICT_DROP_REWRITE;
	after = before ^ crc_gain(difference, bytes);
	*crc = after;
	if (is_summed(skb))
		bpf_csum_update(skb, fold((__u64)(__u32)~before + after));
	return VERDICT_CONTINUE;
}

#endif
