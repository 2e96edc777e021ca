#include "textflag.h"

// The vectors hold four blocks of 16 bytes each:
//
//	Z0, Z8     scratch           Z10  reverses the bytes of each block
//	Z1 - Z4    data              Z11  the polynomial of GHASH
//	Z5, Z6, Z7 product: low,     Z12  hash so far, in the first block
//	           middle, high      Z13  next counters
//	Z16 - Z19  powers of the     X14  the encrypted first counter
//	           hash key          Z15  step of the counters
//	Z20 - Z30  round keys
//
// Of a struct vector, AX points at its round keys, which its powers follow.

#define POWERS 176
#define POWER(n) (POWERS+(17-n)*16)

DATA reverse<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+8(SB)/8, $0x0001020304050607
GLOBL reverse<>(SB), RODATA|NOPTR, $16

// x^128 + x^7 + x^2 + x + 1, for products of reflected numbers.
DATA polynomial<>+0(SB)/8, $1
DATA polynomial<>+8(SB)/8, $0xc200000000000000
GLOBL polynomial<>(SB), RODATA|NOPTR, $16

// The counter's lowest byte is the last of its block.
DATA first<>+0(SB)/8, $0
DATA first<>+8(SB)/8, $0x0100000000000000
DATA first<>+16(SB)/8, $0
DATA first<>+24(SB)/8, $0x0200000000000000
DATA first<>+32(SB)/8, $0
DATA first<>+40(SB)/8, $0x0300000000000000
DATA first<>+48(SB)/8, $0
DATA first<>+56(SB)/8, $0x0400000000000000
GLOBL first<>(SB), RODATA|NOPTR, $64

DATA step<>+0(SB)/8, $0
DATA step<>+8(SB)/8, $0x0400000000000000
GLOBL step<>(SB), RODATA|NOPTR, $16

// MULTIPLY adds the products of data and powers to Z5, Z6 and Z7.
#define MULTIPLY(data, power) \
	VPCLMULQDQ $0x00, power, data, Z0; \
	VPCLMULQDQ $0x01, power, data, Z8; \
	VPXORQ Z0, Z5, Z5; \
	VPCLMULQDQ $0x10, power, data, Z0; \
	VPTERNLOGQ $0x96, Z0, Z8, Z6; \
	VPCLMULQDQ $0x11, power, data, Z8; \
	VPXORQ Z8, Z7, Z7

// REDUCE takes the product of Z5, Z6 and Z7 modulo the polynomial and adds its
// four blocks, to Z12.
#define REDUCE \
	VPCLMULQDQ $0x01, Z5, Z11, Z0; \
	VPSHUFD $0x4e, Z5, Z5; \
	VPTERNLOGQ $0x96, Z0, Z5, Z6; \
	VPCLMULQDQ $0x01, Z6, Z11, Z0; \
	VPSHUFD $0x4e, Z6, Z6; \
	VPTERNLOGQ $0x96, Z0, Z6, Z7; \
	VEXTRACTI64X4 $1, Z7, Y0; \
	VPXORQ Y0, Y7, Y7; \
	VEXTRACTI32X4 $1, Y7, X0; \
	VPXORQ X0, X7, X12

// ENCRYPT is all rounds but the first key for one vector.
#define ENCRYPT(r) \
	VAESENC Z21, r, r; \
	VAESENC Z22, r, r; \
	VAESENC Z23, r, r; \
	VAESENC Z24, r, r; \
	VAESENC Z25, r, r; \
	VAESENC Z26, r, r; \
	VAESENC Z27, r, r; \
	VAESENC Z28, r, r; \
	VAESENC Z29, r, r; \
	VAESENCLAST Z30, r, r

// ROUND is one round for the four vectors of data.
#define ROUND(key) \
	VAESENC key, Z1, Z1; \
	VAESENC key, Z2, Z2; \
	VAESENC key, Z3, Z3; \
	VAESENC key, Z4, Z4

#define CLEAR \
	VPXORQ Z5, Z5, Z5; \
	VPXORQ Z6, Z6, Z6; \
	VPXORQ Z7, Z7, Z7

// func sealVector(v *vector, counter *[16]byte, dst, src *byte, n int, additional *byte, additionalBytes int)
//
// It writes n encrypted bytes and the tag of 16. n is at most 2048 and
// additionalBytes from 1 to 64.
TEXT ·sealVector(SB), NOSPLIT, $0-56
	MOVQ v+0(FP), AX
	MOVQ counter+8(FP), BX
	MOVQ dst+16(FP), DI
	MOVQ src+24(FP), SI
	MOVQ n+32(FP), CX
	MOVQ additional+40(FP), DX
	MOVQ additionalBytes+48(FP), R8
	LEAQ (DI)(CX*1), R11 // place of the tag

	VBROADCASTI32X4 0(AX), Z20
	VBROADCASTI32X4 16(AX), Z21
	VBROADCASTI32X4 32(AX), Z22
	VBROADCASTI32X4 48(AX), Z23
	VBROADCASTI32X4 64(AX), Z24
	VBROADCASTI32X4 80(AX), Z25
	VBROADCASTI32X4 96(AX), Z26
	VBROADCASTI32X4 112(AX), Z27
	VBROADCASTI32X4 128(AX), Z28
	VBROADCASTI32X4 144(AX), Z29
	VBROADCASTI32X4 160(AX), Z30
	VBROADCASTI32X4 reverse<>(SB), Z10
	VBROADCASTI32X4 polynomial<>(SB), Z11
	VBROADCASTI32X4 step<>(SB), Z15
	VBROADCASTI32X4 (BX), Z13
	VPXORQ Z20, Z13, Z14
	ENCRYPT(Z14)
	VPADDD first<>(SB), Z13, Z13

	// Additional data.
	MOVQ $-1, R9
	BZHIQ R8, R9, R10
	KMOVQ R10, K1
	VMOVDQU8.Z (DX), K1, Z1
	VPSHUFB Z10, Z1, Z1
	LEAQ 15(R8), R10
	ANDQ $-16, R10
	NEGQ R10
	VMOVDQU64 POWER(0)(AX)(R10*1), Z16
	CLEAR
	MULTIPLY(Z1, Z16)
	REDUCE

	MOVQ CX, R12
	CMPQ CX, $256
	JLT tail
	VMOVDQU64 POWER(16)(AX), Z16
	VMOVDQU64 POWER(12)(AX), Z17
	VMOVDQU64 POWER(8)(AX), Z18
	VMOVDQU64 POWER(4)(AX), Z19

step:
	VPADDD Z15, Z13, Z2
	VPADDD Z15, Z2, Z3
	VPADDD Z15, Z3, Z4
	VPXORQ Z20, Z13, Z1
	VPADDD Z15, Z4, Z13
	VPXORQ Z20, Z2, Z2
	VPXORQ Z20, Z3, Z3
	VPXORQ Z20, Z4, Z4
	ROUND(Z21)
	ROUND(Z22)
	ROUND(Z23)
	ROUND(Z24)
	ROUND(Z25)
	ROUND(Z26)
	ROUND(Z27)
	ROUND(Z28)
	ROUND(Z29)
	VAESENCLAST Z30, Z1, Z1
	VAESENCLAST Z30, Z2, Z2
	VAESENCLAST Z30, Z3, Z3
	VAESENCLAST Z30, Z4, Z4
	VPXORQ 0(SI), Z1, Z1
	VPXORQ 64(SI), Z2, Z2
	VPXORQ 128(SI), Z3, Z3
	VPXORQ 192(SI), Z4, Z4
	VMOVDQU64 Z1, 0(DI)
	VMOVDQU64 Z2, 64(DI)
	VMOVDQU64 Z3, 128(DI)
	VMOVDQU64 Z4, 192(DI)
	VPSHUFB Z10, Z1, Z1
	VPSHUFB Z10, Z2, Z2
	VPSHUFB Z10, Z3, Z3
	VPSHUFB Z10, Z4, Z4
	VPXORQ Z12, Z1, Z1
	CLEAR
	MULTIPLY(Z4, Z19)
	MULTIPLY(Z3, Z18)
	MULTIPLY(Z2, Z17)
	MULTIPLY(Z1, Z16)
	REDUCE
	ADDQ $256, SI
	ADDQ $256, DI
	SUBQ $256, R12
	CMPQ R12, $256
	JGE step

tail:
	CLEAR
	TESTQ R12, R12
	JZ lengths
	LEAQ 15(R12), R10
	ANDQ $-16, R10
	NEGQ R10
	LEAQ POWER(1)(AX)(R10*1), R10 // one more than there are blocks

part:
	BZHIQ R12, R9, R13
	KMOVQ R13, K1
	VPXORQ Z20, Z13, Z1
	VPADDD Z15, Z13, Z13
	ENCRYPT(Z1)
	VMOVDQU8.Z (SI), K1, Z2
	VPXORQ Z2, Z1, Z1
	VMOVDQU8 Z1, K1, (DI)
	VMOVDQU8.Z Z1, K1, Z1
	VPSHUFB Z10, Z1, Z1
	VPXORQ Z12, Z1, Z1
	VPXORQ Z12, Z12, Z12
	VMOVDQU64 (R10), Z16
	MULTIPLY(Z1, Z16)
	ADDQ $64, SI
	ADDQ $64, DI
	ADDQ $64, R10
	SUBQ $64, R12
	JG part

lengths:
	SHLQ $3, CX
	SHLQ $3, R8
	VMOVQ CX, X1
	VPINSRQ $1, R8, X1, X1
	VPXORQ Z12, Z1, Z1
	VMOVDQU64 POWER(1)(AX), X16
	MULTIPLY(Z1, Z16)
	REDUCE

	VPSHUFB X10, X12, X12
	VPXORQ X14, X12, X12
	VMOVDQU64 X12, (R11)
	VZEROUPPER
	RET
