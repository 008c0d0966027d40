//! whole_int8 int8
/* Products of whole numbers, four at once, where the processor has them. A sum of whole numbers is the same in any
   order.

       x = unit (65536 d2 + 256 d1 + d0) for DEEP numbers x at once, digits d from -128 to 127
       x W = unit (65536 (d2 W) + 256 (d1 W) + (d0 W))

   The largest |x| is 8355700 units, so that each x is within half a unit: 2^-24 of the largest one, which is what the
   largest one itself is rounded by. The instruction takes W from 0 to 255: what 128 more add up to is taken off before. */
/* Where the processor is found out when it runs, vectors of 16 are for those that have the instruction. */
#if LANES == 16 && (defined(__AVX512VNNI__) || !defined(__AVX512F__))
#define WHOLE_int8
#define DEEP 128 /* numbers x that have one unit */
#define LEAST 64 /* fewer of them are multiplied as floats */
#define SPLIT (SLOTS < 16 ? SLOTS : 16) /* rows whose digits there are at once */
/* sums += the products of four numbers each: what _mm512_dpbusd_epi32 does, of which GCC 12 copies every sum. */
#define ADD_PRODUCTS(sums, a, b) __asm__("vpdpbusd {%2, %1, %0|%0, %1, %2}" : "+v"(sums) : "v"(a), "v"(b))
struct digits {
    ALIGNED int32_t words[3][DEEP / 4];
    int32_t begin[3];
    float unit; /* 0 if one of them is not finite */
};
INLINE void split_int8(const float *x, const int count, struct digits *y)
{
    const int vectors = (count + 15) / 16;
    __m512i largest = _mm512_setzero_si512(), sums[3] = {largest, largest, largest};
    __m512 some[DEEP / 16];
    UNROLL for (int i = 0; i < vectors; i++) {
        some[i] = _mm512_maskz_loadu_ps((__mmask16)(count < 16 * i + 16 ? (1 << count % 16) - 1 : 0xffff), x + 16 * i);
        largest = _mm512_max_epu32(largest, _mm512_slli_epi32(_mm512_castps_si512(some[i]), 1)); /* NaN above all */
    }
    const uint32_t most = _mm512_reduce_max_epu32(largest) >> 1;
    float size;
    memcpy(&size, &most, sizeof size);
    size = size > 0x1p-100f ? size : 0x1p-100f;
    y->unit = most < 0x7f800000 ? size * (1 / 8355700.0f) : 0.0f;
    const __m512 times = _mm512_set1_ps(8355700.0f / size);
    const __m512i half = _mm512_set1_epi32(0x808080);
    UNROLL for (int i = 0; i < vectors; i++) {
        const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(some[i], times));
        const __m512i digits = _mm512_xor_si512(_mm512_add_epi32(whole, half), half);
        _mm_store_si128((__m128i *)(y->words[0] + 4 * i), _mm512_cvtepi32_epi8(digits));
        _mm_store_si128((__m128i *)(y->words[1] + 4 * i), _mm512_cvtepi32_epi8(_mm512_srli_epi32(digits, 8)));
        _mm_store_si128((__m128i *)(y->words[2] + 4 * i), _mm512_cvtepi32_epi8(_mm512_srli_epi32(digits, 16)));
        UNROLL for (int p = 0; p < 3; p++)
            sums[p] = _mm512_add_epi32(sums[p], _mm512_srai_epi32(_mm512_slli_epi32(digits, 24 - 8 * p), 24));
    }
    UNROLL for (int p = 0; p < 3; p++) y->begin[p] = -128 * _mm512_reduce_add_epi32(sums[p]);
}
/* sum += x W for a row, given the digits of at most DEEP numbers of it. */
INLINE void add_digits_int8(const int vectors, const int each, const int count, const struct digits *x,
                            const uint32_t *w, const int width, const int gap, vec sum[8])
{
    UNROLL for (int first = 0; first < vectors; first += 4) { /* twelve sums are enough against their latency */
        const int some = vectors - first < 4 ? vectors - first : 4;
        __m512i whole[4][3];
        UNROLL for (int v = 0; v < some; v++)
            UNROLL for (int p = 0; p < 3; p++) whole[v][p] = _mm512_set1_epi32(x->begin[p]);
        for (int i = 0; i < WORDS_int8(count); i++) {
            const uint32_t *at = w + i * width;
            __m512i digits[3];
            UNROLL for (int p = 0; p < 3; p++) digits[p] = _mm512_set1_epi32(x->words[p][i]);
            UNROLL for (int v = 0; v < some; v++) {
                const ivec columns = iload((const int32_t *)at + (first + v) / each * gap + (first + v) % each * LANES);
                const __m512i from_0 = (__m512i)(columns ^ isplat((int32_t)0x80808080));
                UNROLL for (int p = 0; p < 3; p++) ADD_PRODUCTS(whole[v][p], from_0, digits[p]);
            }
        }
        UNROLL for (int v = 0; v < some; v++) {
            const vec low = floats((ivec)whole[v][1] * 256 + (ivec)whole[v][0]), high = floats((ivec)whole[v][2]);
            sum[first + v] = fused(fused(high, splat(65536.0f), low), splat(x->unit), sum[first + v]);
        }
    }
}
/* The same as floats, for a row whose numbers are not all finite. */
APART TARGET static void add_not_finite_int8(int vectors, int each, int count, const float *x, const uint32_t *w,
                                             int width, int gap, float *sums)
{
    for (int v = 0; v < vectors; v++)
        for (int j = 0; j < LANES; j++)
            for (int i = 0; i < count; i++) {
                const uint32_t word = w[i / 4 * width + v / each * gap + v % each * LANES + j];
                sums[LANES * v + j] += x[i] * (float)(int8_t)(word >> i % 4 * 8);
            }
}
INLINE void add_whole_int8(const int vectors, const int each, const int count, const float *x,
                           const struct digits *digits, const uint32_t *w, const int width, const int gap, vec sum[8])
{
    add_digits_int8(vectors, each, count, digits, w, width, gap, sum);
    if (digits->unit == 0.0f) {
        float sums[8 * LANES];
        UNROLL for (int v = 0; v < vectors; v++) store(sums + v * LANES, sum[v]);
        add_not_finite_int8(vectors, each, count, x, w, width, gap, sums);
        UNROLL for (int v = 0; v < vectors; v++) sum[v] = load(sums + v * LANES);
    }
}
/* y = b + x W for some columns of some rows, or y += x W where b is NULL. */
INLINE void affine_columns_int8(const int vectors, size_t rows, const int count, const float *x, size_t x_step,
                                const struct digits *digits, const uint32_t *w, const int width, const float *scale,
                                const float *b, float *y, size_t y_step)
{
    for (size_t r = 0; r < rows; r++, x += x_step, y += y_step) {
        vec sum[8];
        UNROLL for (int v = 0; v < vectors; v++) sum[v] = splat(0.0f);
        add_whole_int8(vectors, vectors, count, x, digits + r, w, width, 0, sum);
        UNROLL for (int v = 0; v < vectors; v++) {
            const int at = v * LANES;
            store(y + at, fused(sum[v], load(scale + at), load((b ? b : y) + at)));
        }
    }
}
/* The same for all columns: the digits of a few rows are found once. */
INLINE void affine_whole_int8(size_t rows, const int k, const int n, const float *x, size_t x_step, const uint32_t *w,
                              const float *scale, const float *b, float *y, size_t y_step)
{
    const int most = n / 64 * 64, rest = n - most, deep = WORDS_int8(k);
    struct digits digits[SPLIT];
    for (size_t some; rows > 0; rows -= some, x += some * x_step, y += some * y_step) {
        some = rows < SPLIT ? rows : SPLIT;
        for (int i = 0; i < k; i += DEEP) {
            const int count = k - i < DEEP ? k - i : DEEP;
            const float *begin = i ? NULL : b;
            for (size_t r = 0; r < some; r++) split_int8(x + r * x_step + i, count, digits + r);
            for (int j = 0; j < most; j += 64)
                affine_columns_int8(4, some, count, x + i, x_step, digits, w + j * deep + i / 4 * 64, 64, scale + j,
                                    begin ? begin + j : NULL, y + j, y_step);
            if (rest)
                affine_columns_int8(rest / LANES, some, count, x + i, x_step, digits, w + most * deep + i / 4 * rest,
                                    rest, scale + most, begin ? begin + most : NULL, y + most, y_step);
        }
    }
}
#endif
//! product_small
/* Keep words in a register: GCC would load them again for each of their numbers. */
INLINE ivec once_small(ivec words)
{
#if LANES == 16
    __asm__("" : "+v"(words));
#endif
    return words;
}
/* The same as for floats: words of W hold the numbers of several rows, so that one load gives them all. */
INLINE void terms_small(const int rows, const int gates, const int each, const int parts, const int first,
                        const int count, const float *x, size_t x_step, const uint32_t *w, const int gap,
                        vec sum[TALLEST][8][4])
{
    UNROLL for (int v = 0; v < gates * each; v++) {
        const ivec words = once_small(iload((const int32_t *)w + v / each * gap + v % each * LANES));
        UNROLL for (int p = 0; p < count; p++) {
            const vec column = part_small(words, p);
            UNROLL for (int r = 0; r < rows; r++)
                sum[r][v][(first + p) % parts] = fused_by(column, x[r * x_step + p], sum[r][v][(first + p) % parts]);
        }
    }
}
/* sum += x W for some rows and `each` vectors of some gates. */
INLINE void product_small(const int rows, const int gates, const int each, const int parts, const int k,
                          const float *x, size_t x_step, const uint32_t *w, const int width, const int gap,
                          vec sum[TALLEST][8])
{
#ifdef WHOLE_small
    if (k >= LEAST) {
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < k; i += DEEP) {
                const int count = k - i < DEEP ? k - i : DEEP;
                const float *some = x + r * x_step + i;
                struct digits digits;
                split_small(some, count, &digits);
                add_whole_small(gates * each, each, count, some, &digits, w + i / 4 * width, width, gap, sum[r]);
            }
        return;
    }
#endif
    const int words = parts > PER_WORD ? parts / PER_WORD : 1, step = words * PER_WORD;
    const int rounds = k / step, left = k % step;
    vec some[TALLEST][8][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < gates * each; v++) {
            some[r][v][0] = sum[r][v];
            UNROLL for (int p = 1; p < parts; p++) some[r][v][p] = splat(0.0f);
        }
    for (int i = 0; i < rounds; i++, x += step, w += words * width)
        UNROLL for (int q = 0; q < words; q++)
            terms_small(rows, gates, each, parts, q * PER_WORD, PER_WORD, x + q * PER_WORD, x_step, w + q * width, gap,
                        some);
    UNROLL for (int q = 0; q * PER_WORD < left; q++) {
        const int more = left - q * PER_WORD;
        terms_small(rows, gates, each, parts, q * PER_WORD, more < PER_WORD ? more : PER_WORD, x + q * PER_WORD, x_step,
                    w + q * width, gap, some);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < gates * each; v++) {
            vec joined = some[r][v][0];
            if (parts == 2) joined = joined + some[r][v][1];
            if (parts == 4) joined = (joined + some[r][v][1]) + (some[r][v][2] + some[r][v][3]);
            sum[r][v] = joined;
        }
}
