/* Vectors of LANES numbers. Every row gets the same operations in the same order, whatever rows stand beside it. */
#if LANES > 1
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
INLINE vec splat(float x) { return x - (vec){0}; }
INLINE ivec isplat(int32_t x) { return x - (ivec){0}; }
INLINE ivec bits(vec x) { return (ivec)x; }
INLINE vec number(ivec x) { return (vec)x; }
INLINE ivec to_exponent(ivec x) { return x << 23; }
#ifdef __ARM_FEATURE_MVE
/* By name: of (a <= b) & (a == b) GCC 12 compares one of the four. */
#define MASK(lanes) ((ivec)vpselq_s32(vdupq_n_s32(-1), vdupq_n_s32(0), lanes))
INLINE ivec less(vec a, vec b) { return MASK(vcmpgtq_f32((float32x4_t)b, (float32x4_t)a)); }
INLINE ivec less_or_equal(vec a, vec b) { return MASK(vcmpgeq_f32((float32x4_t)b, (float32x4_t)a)); }
INLINE ivec equal(vec a, vec b) { return MASK(vcmpeqq_f32((float32x4_t)a, (float32x4_t)b)); }
#else
INLINE ivec less(vec a, vec b) { return (ivec)(a < b); }
INLINE ivec less_or_equal(vec a, vec b) { return (ivec)(a <= b); }
INLINE ivec equal(vec a, vec b) { return (ivec)(a == b); }
#endif
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
INLINE vec floats(ivec x) { return __builtin_convertvector(x, vec); }
#else
typedef float vec;
typedef int32_t ivec;
INLINE vec splat(float x) { return x; }
INLINE ivec isplat(int32_t x) { return x; }
/* By a union: with -ffreestanding, memcpy is a call. */
INLINE ivec bits(vec x) { const union { vec from; ivec to; } y = {.from = x}; return y.to; }
INLINE vec number(ivec x) { const union { ivec from; vec to; } y = {.from = x}; return y.to; }
INLINE ivec to_exponent(ivec x) { return (ivec)((uint32_t)x << 23); } /* any, where a number is NaN */
INLINE ivec less(vec a, vec b) { return -(a < b); }
INLINE ivec less_or_equal(vec a, vec b) { return -(a <= b); }
INLINE ivec equal(vec a, vec b) { return -(a == b); }
INLINE vec choose(ivec mask, vec a, vec b) { return mask ? a : b; }
INLINE vec floats(ivec x) { return (vec)x; }
#endif
INLINE vec load(const float *x) { return *(const vec *)x; }
INLINE void store(float *x, vec y) { *(vec *)x = y; }
INLINE ivec iload(const int32_t *x) { return *(const ivec *)x; }
INLINE void istore(int32_t *x, ivec y) { *(ivec *)x = y; }
/* a b + c, rounded once where the processor can do that. The compiler fuses nothing by itself: it would do so in one
   tile and not in another, and the bits of a row would depend on how many rows there are. */
#if LANES == 16
INLINE vec fused(vec a, vec b, vec c) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif LANES == 8
INLINE vec fused(vec a, vec b, vec c) { return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif LANES == 4 && defined(__aarch64__)
INLINE vec fused(vec a, vec b, vec c) { return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#elif LANES == 4 && defined(__ARM_FEATURE_MVE)
INLINE vec fused(vec a, vec b, vec c) { return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#elif LANES == 1 && defined(__GNUC__) && (defined(__FMA__) || defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA))
INLINE vec fused(vec a, vec b, vec c) { return __builtin_fmaf(a, b, c); }
#else
INLINE vec fused(vec a, vec b, vec c) { return a * b + c; }
#endif
/* The same with one number for all of b. */
#if LANES == 4 && defined(__ARM_FEATURE_MVE)
INLINE vec fused_by(vec a, float b, vec c) { return (vec)vfmaq_n_f32((float32x4_t)c, (float32x4_t)a, b); }
#else
INLINE vec fused_by(vec a, float b, vec c) { return fused(a, splat(b), c); }
#endif
/* a x + c: a step of Horner's scheme */
INLINE vec horner(vec a, vec x, float c) { return fused(a, x, splat(c)); }

//! int8
#define WORDS_int8(rows) (((rows) + 3) / 4) /* in a column of a matrix that products read */
/* Whole numbers of 8 bits as floats. */
INLINE vec load_int8(const int8_t *x)
{
#if LANES == 16
    return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)x)));
#elif LANES == 8
    return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)x)));
#elif LANES == 4 && defined(__x86_64__)
    int32_t four;
    memcpy(&four, x, sizeof four);
    const __m128i bytes = _mm_cvtsi32_si128(four), pairs = _mm_unpacklo_epi8(bytes, bytes);
    return (vec)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(pairs, pairs), 24));
#elif LANES == 4 && defined(__aarch64__)
    int32_t four;
    memcpy(&four, x, sizeof four);
    return (vec)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
#elif LANES > 1
    float y[LANES];
    for (int i = 0; i < LANES; i++) y[i] = (float)x[i];
    return load(y);
#else
    return (float)*x;
#endif
}
/* Numbers of a row, each times its scale, or all times one where `apart` is 0. */
INLINE void decode_int8(float *y, const int n, const int8_t *w, const float *scale, const int apart)
{
    int j = 0;
    for (; j + LANES <= n; j += LANES) store(y + j, load_int8(w + j) * (apart ? load(scale + j) : splat(*scale)));
    for (; j < n; j++) y[j] = (float)w[j] * scale[j * apart];
}
/* One of the four numbers of each word, the first in the lowest bits. */
INLINE vec part_int8(ivec words, const int p)
{
#if LANES > 1
    return floats((words << (24 - 8 * p)) >> 24);
#else
    return (float)(int8_t)((uint32_t)words >> 8 * p);
#endif
}
//! bf16
#define WORDS_bf16(rows) (((rows) + 1) / 2) /* in a column of a matrix that products read */
/* The upper halves of the bits of floats, as floats. */
INLINE float upper(uint16_t x)
{
    const uint32_t word = (uint32_t)x << 16;
    float y;
    memcpy(&y, &word, sizeof y);
    return y;
}
INLINE vec load_bf16(const uint16_t *x)
{
#if LANES == 16 && defined(__AVX512BW__) /* each number twice, and the lower one away: one instruction, not two */
    static const uint16_t twice[32] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11,
                                       12, 12, 13, 13, 14, 14, 15, 15};
    const __m512i half = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)x));
    return (vec)_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, _mm512_loadu_si512(twice), half);
#elif LANES == 16
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x)), 16);
#elif LANES == 8
    return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)x)), 16);
#elif LANES == 4 && defined(__x86_64__)
    return (vec)_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64((const __m128i *)x));
#elif LANES == 4 && defined(__aarch64__)
    return (vec)vshll_n_u16(vld1_u16(x), 16);
#elif LANES > 1
    float y[LANES];
    for (int i = 0; i < LANES; i++) y[i] = upper(x[i]);
    return load(y);
#else
    return upper(*x);
#endif
}
INLINE void decode_bf16(float *y, const int n, const uint16_t *w)
{
    int j = 0;
    for (; j + LANES <= n; j += LANES) store(y + j, load_bf16(w + j));
    for (; j < n; j++) y[j] = upper(w[j]);
}
/* One of the two numbers of each word. */
INLINE vec part_bf16(ivec words, const int p)
{
#if LANES > 1
    if (p == 0) return number(words << 16);
    return number(words & isplat(-65536));
#else
    return upper((uint16_t)((uint32_t)words >> 16 * p));
#endif
}
//! hand_on
/* Copy rows of a buffer to where no row of these is, in whole vectors: a load that is wider than the store before it
   would wait for the store. */
INLINE void hand_on(float *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i += LANES) store(to + i, load(from + i));
}

//! tiles
/* The rows of a tile of so many sums a row: they stay in registers. */
#define TALL(sums) (REGISTERS / (sums) > TALLEST ? TALLEST : REGISTERS / (sums))
/* Call tile(rows, ...) for all i < count, as many rows at once as there can be; its arguments name i. */
#define TILES(sums, count, tile, ...) \
    for (size_t i = 0, tall_ = TALL(sums); i < (count);) { \
        const size_t left = (count) - i; \
        if (tall_ > 4 && left >= tall_ && (tall_ == 8 || left != tall_ + 2)) { tile(TALL(sums), __VA_ARGS__); i += tall_; } \
        else if (tall_ >= 4 && tall_ < 8 && left >= 4) { tile(4, __VA_ARGS__); i += 4; } \
        else if (tall_ == 3 && left >= 3) { tile(3, __VA_ARGS__); i += 3; } \
        else if (tall_ >= 2 && left >= 2) { tile(2, __VA_ARGS__); i += 2; } \
        else { tile(1, __VA_ARGS__); i++; } \
    }
/* Where the tile of number j begins in a matrix that is cut into panels of some columns, each with all rows. */
#define PANEL(w, j, columns, rows) ((w) + (j) / (columns) * ((columns) * (rows)) + (j) % (columns))

//! product
/* Add the first rows of W, one for each part of a sum, times as many numbers of every x. */
INLINE void terms(const int rows, const int gates, const int each, const int parts, const float *x, size_t x_step,
                  const float *w, const int width, const int gap, vec sum[TALLEST][8][4])
{
    UNROLL for (int p = 0; p < parts; p++)
        UNROLL for (int v = 0; v < gates * each; v++) {
            const vec column = load(w + p * width + v / each * gap + v % each * LANES);
            UNROLL for (int r = 0; r < rows; r++)
                sum[r][v][p] = fused_by(column, x[r * x_step + p], sum[r][v][p]);
        }
}
/* sum += x W for some rows and `each` vectors of some gates. Row i of W begins at w + i * width, and what belongs to
   the next gate stands a gap further. Every number is the sum of `parts` sums, which take terms in turn: the first
   terms wait for the first numbers of x alone. */
INLINE void product(const int rows, const int gates, const int each, const int parts, const int k, const float *x,
                    size_t x_step, const float *w, const int width, const int gap, vec sum[TALLEST][8])
{
    const int rounds = k / parts, left = k % parts;
    vec some[TALLEST][8][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < gates * each; v++) {
            some[r][v][0] = sum[r][v];
            UNROLL for (int p = 1; p < parts; p++) some[r][v][p] = splat(0.0f);
        }
    if (rows * gates * each * parts > 8)
        for (int i = 0; i < rounds; i++)
            terms(rows, gates, each, parts, x + i * parts, x_step, w + i * parts * width, width, gap, some);
    else
        REPEAT for (int i = 0; i < rounds; i++)
            terms(rows, gates, each, parts, x + i * parts, x_step, w + i * parts * width, width, gap, some);
    terms(rows, gates, each, left, x + rounds * parts, x_step, w + rounds * parts * width, width, gap, some);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < gates * each; v++) {
            vec joined = some[r][v][0];
            if (parts == 2) joined = joined + some[r][v][1];
            if (parts == 4) joined = (joined + some[r][v][1]) + (some[r][v][2] + some[r][v][3]);
            sum[r][v] = joined;
        }
}
//! gates product
/* The first halves of two vectors, and the second half of one. */
#if LANES == 16
INLINE vec both(vec a, vec b) { return (vec)_mm512_shuffle_f32x4((__m512)a, (__m512)b, 0x44); }
INLINE vec second(vec x) { return (vec)_mm512_shuffle_f32x4((__m512)x, (__m512)x, 0xee); }
#else
INLINE vec both(vec a, vec b) { return (void)b, a; }
INLINE vec second(vec x) { return x; }
#endif
/* sum += x W for some gates, whose columns stand side by side in a panel, gate by gate. Two gates of half a vector are one
   vector of the product. */
INLINE void add_gates(const int rows, const int gates, const int each, const int panel, const int parts, const int k,
                      const float *x, size_t x_step, const float *w, vec sum[TALLEST][8])
{
    if (panel >= LANES) {
        const int width = (panel == 8 ? (gates + 1) / 2 * 2 : gates) * panel;
        product(rows, gates, each, parts, k, x, x_step, w, width, panel, sum);
        return;
    }
    const int pairs = (gates + 1) / 2;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < pairs; p++)
            sum[r][p] = both(sum[r][2 * p], 2 * p + 1 < gates ? sum[r][2 * p + 1] : splat(0.0f));
    product(rows, pairs, 1, parts, k, x, x_step, w, pairs * LANES, LANES, sum);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int g = gates - 1; g >= 0; g--) sum[r][g] = g % 2 ? second(sum[r][g / 2]) : sum[r][g / 2];
}

//! affine tiles product
/* y = b + x W for some rows, or y += x W where b is NULL. W is packed in panels of 64 columns, the last one of fewer. */
INLINE void affine_tile(const int rows, const int panels, const int each, const int parts, const int k, const float *x,
                        size_t x_step, const float *w, const float *b, float *y, size_t y_step)
{
    vec sum[TALLEST][8];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < panels * each; v++) sum[r][v] = splat(0.0f);
    product(rows, panels, each, parts, k, x, x_step, w, each * 16, 64 * k, sum);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < panels * each; v++) {
            const int at = v / each * 64 + v % each * LANES;
            store(y + r * y_step + at, load((b ? b : y + r * y_step) + at) + sum[r][v]);
        }
}
INLINE void affine(const int parts, size_t rows, const int k, const int n, const float *x, size_t x_step,
                   const float *w, const float *b, float *y, size_t y_step)
{
    const int most = n / 64 * 64, rest = most < n ? (n - most) / 16 : 1;
    int j = 0;
    if (rows == 1 && parts == 1) /* two panels at once, against the latency of a sum */
        for (; j + 128 <= most; j += 128)
            for (int part = 0; part < 64; part += 4 * LANES)
                affine_tile(1, 2, 4, 1, k, x, x_step, w + j * k + part, b ? b + j + part : b, y + j + part, y_step);
    for (; j < most; j += 4 * LANES)
        TILES(4 * parts, rows, affine_tile, 1, 4, parts, k, x + i * x_step, x_step, w + j / 64 * 64 * k + j % 64,
              b ? b + j : b, y + i * y_step + j, y_step)
    for (; j < n; j += rest * LANES)
        TILES(rest * parts, rows, affine_tile, 1, rest, parts, k, x + i * x_step, x_step, w + most * k + j - most,
              b ? b + j : b, y + i * y_step + j, y_step)
}

//! window
/* A number of a map of some height and width, or zero outside of it. */
INLINE float at_place(const float *map, const int height, const int width, int row, int column)
{
    return row >= 0 && row < height && column >= 0 && column < width ? map[row * width + column] : 0.0f;
}
//! convolve affine window
/* y[o][p] = b[o] + sum of x[c][p stride + k apart - before] W[c][k][o] over the channels c and the places k of a window:
   the windows of 8 places p are the rows of a product. Pairs are of height and width, the last pair counts the places. */
INLINE void convolve(const int channels, const int height, const int width, const int tall, const int broad,
                     const int down, const int right, const int apart, const int aside, const int top, const int before,
                     const int high, const int across, const int n, const float *x, const float *w, const float *b,
                     float *patches, float *sums, float *y)
{
    const int places = high * across, depth = channels * tall * broad, wide = (n + 15) / 16 * 16;
    for (int first = 0; first < places; first += 8) {
        const int count = places - first < 8 ? places - first : 8;
        float *patch = patches;
        for (int p = first; p < first + count; p++)
            for (int c = 0; c < channels; c++)
                for (int i = 0; i < tall; i++)
                    for (int j = 0; j < broad; j++)
                        *patch++ = at_place(x + c * height * width, height, width, p / across * down + i * apart - top,
                                            p % across * right + j * aside - before);
        affine(1, (size_t)count, depth, wide, patches, (size_t)depth, w, b, sums, (size_t)wide);
        for (int o = 0; o < n; o++)
            for (int p = 0; p < count; p++) y[o * places + first + p] = sums[p * wide + o];
    }
}
//! convolve_alone window
/* The same number by number, with W[o][c][k]: of few channels a product would fill no vector. */
INLINE void convolve_alone(const int channels, const int height, const int width, const int tall, const int broad,
                           const int down, const int right, const int apart, const int aside, const int top,
                           const int before, const int high, const int across, const int n, const float *x,
                           const float *w, const float *b, float *y)
{
    const int places = high * across, depth = channels * tall * broad;
    for (int o = 0; o < n; o++)
        for (int p = 0; p < places; p++) {
            float sum = 0.0f;
            const float *weight = w + o * depth;
            for (int c = 0; c < channels; c++)
                for (int i = 0; i < tall; i++)
                    for (int j = 0; j < broad; j++)
                        sum += *weight++ * at_place(x + c * height * width, height, width,
                                                    p / across * down + i * apart - top,
                                                    p % across * right + j * aside - before);
            y[o * places + p] = b[o] + sum;
        }
}

//! total
INLINE float total(vec x)
{
#if LANES == 16
    typedef float half __attribute__((vector_size(32)));
    const union { vec all; half halves[2]; } full = {x};
    const union { half all; float numbers[8]; } y = {full.halves[0] + full.halves[1]};
    const float a = y.numbers[0] + y.numbers[4], b = y.numbers[1] + y.numbers[5];
    return (a + (y.numbers[2] + y.numbers[6])) + (b + (y.numbers[3] + y.numbers[7]));
#elif LANES > 1
    float sum[LANES];
    store(sum, x);
    for (int i = LANES / 2; i > 0; i /= 2)
        for (int j = 0; j < i; j++) sum[j] += sum[j + i];
    return sum[0];
#else
    return x;
#endif
}
//! dot total
/* y = b + x W for a few columns, which stand one after the other. */
INLINE void dot(size_t rows, const int k, const int n, const float *x, size_t x_step, const float *w, const float *b,
                float *y, size_t y_step)
{
    const int most = k / LANES * LANES, width = (k + 15) / 16 * 16; /* the rest does not fill a vector */
    for (size_t i = 0; i < rows; i++, x += x_step, y += y_step) {
        vec rest = splat(0.0f);
        memcpy(&rest, x + most, (size_t)(k - most) * sizeof *x);
        UNROLL for (int column = 0; column < n; column++) {
            vec sum = splat(0.0f);
            for (int j = 0; j < most; j += LANES) sum = fused(load(x + j), load(w + column * width + j), sum);
            if (most < k) sum = fused(rest, load(w + column * width + most), sum);
            y[column] = b[column] + total(sum);
        }
    }
}
//! places
/* As many numbers as are left, up to a vector of them; behind them zeros. */
INLINE vec load_some(const float *x, size_t left)
{
    vec y = splat(0.0f);
    if (left >= LANES) return load(x);
    memcpy(&y, x, left * sizeof *x);
    return y;
}
INLINE ivec iload_some(const int32_t *x, size_t left)
{
    ivec y = isplat(0);
    if (left >= LANES) return iload(x);
    memcpy(&y, x, left * sizeof *x);
    return y;
}
/* The same of numbers that stand `apart` numbers from each other. */
INLINE vec load_spaced(const float *x, size_t apart, size_t left)
{
    float y[LANES] = {0};
    for (size_t i = 0; i < LANES && i < left; i++) y[i] = x[i * apart];
    return load(y);
}
INLINE ivec iload_spaced(const int32_t *x, size_t apart, size_t left)
{
    int32_t y[LANES] = {0};
    for (size_t i = 0; i < LANES && i < left; i++) y[i] = x[i * apart];
    return iload(y);
}
/* Store as many of a vector's numbers as there is room for. */
INLINE void store_some(float *x, vec y, size_t left)
{
    if (left >= LANES) store(x, y);
    else memcpy(x, &y, left * sizeof *x);
}
INLINE void istore_some(int32_t *x, ivec y, size_t left)
{
    if (left >= LANES) istore(x, y);
    else memcpy(x, &y, left * sizeof *x);
}
//! match_places total places
/* y[m] = the sum of x[m][i] z[m][i] over i < k, for m < count, at each place. */
INLINE void match_places(size_t places, const int count, const int k, const float *x, size_t x_step,
                         const float *z, size_t z_step, float *y, size_t y_step)
{
    const int most = k / LANES * LANES;
    for (size_t p = 0; p < places; p++, x += x_step, z += z_step, y += y_step)
        for (int m = 0; m < count; m++) {
            const float *one = x + m * k, *other = z + m * k;
            vec sum = splat(0.0f);
            for (int j = 0; j < most; j += LANES) sum = fused(load(one + j), load(other + j), sum);
            if (most < k)
                sum = fused(load_some(one + most, (size_t)(k - most)), load_some(other + most, (size_t)(k - most)),
                            sum);
            y[m] = total(sum);
        }
}
//! add_up_places total places
/* y = the sum of all places. What 64 of them add up to is one term of it: less is rounded. */
INLINE void add_up_places(size_t places, const int size, const float *x, size_t x_step, float *y)
{
    if (size == 1 && x_step == 1) {
        vec sum = splat(0.0f);
        for (size_t p = 0; p < places; p += LANES) sum = sum + load_some(x + p, places - p);
        *y = total(sum);
        return;
    }
    for (int j = 0; j < size; j += LANES) {
        vec sum = splat(0.0f);
        for (size_t first = 0; first < places; first += 64) {
            vec part = splat(0.0f);
            for (size_t p = first; p < places && p < first + 64; p++)
                part = part + load_some(x + p * x_step + j, (size_t)(size - j));
            sum = sum + part;
        }
        store_some(y + j, sum, (size_t)(size - j));
    }
}
/* y[g] = the sum of a[g] x[g] over all places, with `each` numbers in every x[g]: four vectors of them at once, against
   the latency of a sum. */
INLINE void weigh_places(size_t places, const int groups, const int each, const float *x, size_t x_step,
                         const float *a, size_t a_step, float *y)
{
    for (int g = 0; g < groups; g++)
        for (int j = 0; j < each; j += 4 * LANES) {
            const float *from = x + g * each + j;
            vec sum[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
            for (size_t first = 0; first < places; first += 64) {
                vec part[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
                for (size_t p = first; p < places && p < first + 64; p++) {
                    const vec weight = splat(a[p * a_step + g]);
                    UNROLL for (int v = 0; v < 4; v++) {
                        const int left = each - j - v * LANES;
                        if (left <= 0) continue;
                        part[v] = fused(load_some(from + p * x_step + v * LANES, (size_t)left), weight, part[v]);
                    }
                }
                UNROLL for (int v = 0; v < 4; v++) sum[v] = sum[v] + part[v];
            }
            UNROLL for (int v = 0; v < 4; v++) {
                const int left = each - j - v * LANES;
                if (left > 0) store_some(y + g * each + j + v * LANES, sum[v], (size_t)left);
            }
        }
}
//! maximum
INLINE vec maximum(vec a, vec b) { return choose(~less_or_equal(a, b) & equal(b, b), a, b); }
//! minimum
INLINE vec minimum(vec a, vec b) { return choose(~less_or_equal(b, a) & equal(b, b), a, b); }
//! exp
/* exp(x) = 2^n exp(r), |r| <= log(2) / 2, as the product of two numbers: 2^n itself may be out of range */
INLINE vec exp_by_parts(vec x, vec *factor)
{
    vec near = choose(less(x, splat(-110.0f)), splat(-110.0f), x);
    near = choose(less(splat(110.0f), near), splat(110.0f), near);
    const vec magic = splat(12582912.0f); /* 1.5 * 2^23: rounds, and leaves n in the lowest bits */
    const vec shifted = fused(near, splat(1.44269504088896341f), magic);
    const vec n = shifted - magic;
    const vec r = fused(n, splat(-1.428606820309417e-6f), fused(n, splat(-0.693145751953125f), near));
    vec p = horner(splat(1.9875691500e-4f), r, 1.3981999507e-3f);
    p = horner(p, r, 8.3334519073e-3f);
    p = horner(p, r, 4.1665795894e-2f);
    p = horner(p, r, 1.6666665459e-1f);
    p = horner(p, r, 5.0000001201e-1f);
    p = fused(p * r, r, r) + 1.0f;
    const ivec exponent = bits(shifted) - isplat(0x4b400000);
    const ivec half = exponent >> 1;
    *factor = number(to_exponent(exponent - half + 127));
    return p * number(to_exponent(half + 127));
}
/* exp(x) within 1.1 units in the last place */
INLINE vec vexp(vec x)
{
    vec factor;
    const vec part = exp_by_parts(x, &factor);
    return part * factor;
}
/* a exp(x) + c for a = 1 or -1 */
INLINE vec fused_exp(float a, vec x, float c)
{
    vec factor;
    const vec part = exp_by_parts(x, &factor);
    return fused(part * a, factor, splat(c));
}
//! tanh
#if LANES == 16
/* tanh(|x|) = c0 + c1 r + ... + c5 r^5, r = |x| - middle, in 32 pieces: four for each power of two from 1/16 on, one
   below, where it is odd. Each is about a middle whose tanh is next to a float; within 1.7 units in the last place.
   Rows: c0 to c5, middle. The highest bits of |x| number a piece, and it stands at their remainder by 32. */
ALIGNED static const float tanh_pieces[7][32] = {
    {0.9777164f, 0.99174494f, 0.9969548f, 0.9988786f, 0.9997461f, 0.99996567f, 0.99999535f, 0.9999994f,
      0.99999994f, 1.0f, 1.0f, 0, 0.06997452f, 0.08550657f, 0.100994155f, 0.116435565f, 0.13926987f,
      0.16977091f, 0.19996294f, 0.22975633f, 0.27323648f, 0.33002785f, 0.38452753f, 0.43649253f, 0.5085268f,
      0.5952254f, 0.6699859f, 0.73325545f, 0.80806464f, 0.8790845f, 0.92483395f, 0.95372534f},
    {0.044070642f, 0.016441967f, 0.006081122f, 0.0022415433f, 0.0005077518f, 6.866161e-05f, 9.298225e-06f,
      1.192453e-06f, 6.908769e-08f, 1.1461172e-09f, 1.9812586e-11f, 1.0f, 0.99510354f, 0.9926886f, 0.98980016f,
      0.98644274f, 0.9806039f, 0.9711778f, 0.9600148f, 0.94721204f, 0.92534184f, 0.89108163f, 0.8521386f,
      0.8094743f, 0.7414005f, 0.6457067f, 0.5511189f, 0.46233645f, 0.34703156f, 0.2272104f, 0.14468217f,
      0.09040798f},
    {-0.043087404f, -0.016305326f, -0.0060621947f, -0.0022388692f, -0.00050702505f, -6.857943e-05f,
      -9.289082e-06f, -1.1927785e-06f, 4.7664606e-08f, -3.1657261e-09f, -6.502774e-11f, 0, -0.06963257f,
      -0.08488139f, -0.09996538f, -0.114857696f, -0.13656883f, -0.16487816f, -0.1919678f, -0.21762784f,
      -0.25283703f, -0.29408145f, -0.32767078f, -0.3533292f, -0.37702188f, -0.38434094f, -0.36924204f,
      -0.33901078f, -0.28042585f, -0.19973828f, -0.13380739f, -0.08622447f},
    {0.027440624f, 0.010692223f, 0.00401765f, 0.0014895443f, 0.000338465f, 4.5797642e-05f, 6.203498e-06f,
      7.9199594e-07f, 1.8189159e-08f, 2.0300223e-10f, 2.4140636e-11f, -0.33333305f, -0.32532838f, -0.32208726f,
      -0.31849283f, -0.3146798f, -0.3074733f, -0.29545495f, -0.2816037f, -0.2658608f, -0.23942958f,
      -0.20001158f, -0.15805885f, -0.115665995f, -0.055397958f, 0.013548085f, 0.06367757f, 0.09446895f,
      0.110916056f, 0.099846296f, 0.07551947f, 0.05209791f},
    {-0.012526557f, -0.0052150246f, -0.0020053245f, -0.00074969383f, -0.00017683652f, -2.3950835e-05f,
      -3.238758e-06f, -4.1003162e-07f, -1.1585487e-07f, 1.3130711e-09f, 2.6989994e-11f, 0, 0.06040543f,
      0.06135999f, 0.08825959f, 0.08666604f, 0.08987252f, 0.1070175f, 0.121665336f, 0.13297711f, 0.14945824f,
      0.1636723f, 0.16994707f, 0.16790095f, 0.15367115f, 0.11999577f, 0.08047488f, 0.043814797f, 0.004242569f,
      -0.020958068f, -0.025153738f, -0.020930937f},
    {0.003974149f, 0.0019119419f, 0.00076877663f, 0.00029200735f, 6.7990106e-05f, 9.235011e-06f, 1.2473894e-06f,
      1.7390879e-07f, 3.432661e-08f, 6.5539063e-10f, -6.6423898e-12f, 0.13306533f, -17.480898f, -18.005249f,
      -15.742718f, -8.850471f, -0.9864658f, -0.72010094f, 0.04217273f, 0.44513965f, 0.108148046f, 0.061537474f,
      0.014162767f, 0.032316357f, -0.045072243f, -0.06411883f, -0.062242497f, -0.05312294f, -0.03194749f,
      -0.00948879f, 0.0014726395f, 0.0046243705f},
    {2.2429233f, 2.7429698f, 3.2429059f, 3.742881f, 4.485764f, 5.4862757f, 6.4859715f, 7.512947f, 8.97139f,
      11.02861f, 12.97139f, 0, 0.070089065f, 0.08571588f, 0.101339646f, 0.11696607f, 0.14018093f, 0.17143077f,
      0.20269395f, 0.2339322f, 0.2803581f, 0.3428595f, 0.405362f, 0.46788955f, 0.5607407f, 0.68571997f,
      0.8107175f, 0.9357326f, 1.1214268f, 1.3717241f, 1.6214477f, 1.8714494f},
};
INLINE vec piece(int number, ivec at)
{
    const float *row = tanh_pieces[number];
    return (vec)_mm512_permutex2var_ps((__m512)load(row), (__m512i)at, (__m512)load(row + 16));
}
INLINE vec vtanh(vec x)
{
    const __m512 near = _mm512_range_ps((__m512)x, (__m512)splat(13.999999f), 10); /* the smaller |x| */
    const ivec at = (ivec)_mm512_srli_epi32(_mm512_max_epu32((__m512i)near, (__m512i)isplat(0x3d7fffff)), 21);
    const vec r = (vec)near - piece(6, at), rr = r * r;
    const vec low = fused(piece(1, at), r, piece(0, at)), high = fused(piece(3, at), r, piece(2, at));
    const vec y = fused(fused(fused(piece(5, at), r, piece(4, at)), rr, high), rr, low);
    const __mmask16 number = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_ORD_Q); /* NaN stays, and the sign of x */
    return (vec)_mm512_mask_ternarylogic_epi32((__m512i)x, number, (__m512i)y, (__m512i)isplat(INT32_MIN), 0xe4);
}
#else
/* tanh(x) = x P(x^2) / Q(x^2) up to 9, where it rounds to 1; within 5 units in the last place */
INLINE vec vtanh(vec x)
{
    const vec u = x * x, uu = u * u;
    const vec p1 = horner(splat(2.054511060123332e-05f), u, 0.003491703188046813f);
    const vec q1 = horner(splat(0.00032792799174785614f), u, 0.025862203910946846f);
    const vec p = fused(uu, splat(1.3265852416566304e-08f), p1), q = fused(uu, splat(7.740250680399186e-07f), q1);
    const vec top = fused(p, uu * x, fused(u * x, splat(0.13377754390239716f), x));
    const vec bottom = fused(q, uu, horner(splat(0.46711069345474243f), u, 1.0f));
    const vec one = number((bits(x) & isplat(INT32_MIN)) | bits(splat(1.0f)));
    return choose(less(splat(81.0f), u), one, top / bottom);
}
#endif
//! sigmoid exp
#if LANES == 16
/* sigmoid(x) = 1 / (1 + 2^n 2^(i/32) exp(r)), 0 <= r < log(2) / 32; within 3.1 units in the last place, down to -88 */
ALIGNED static const float powers[32] = {
    1.0f, 1.0218972f, 1.0442737f, 1.0671405f, 1.0905077f, 1.1143868f, 1.1387886f, 1.1637249f, 1.1892071f,
    1.2152474f, 1.2418578f, 1.269051f, 1.2968396f, 1.3252367f, 1.3542556f, 1.38391f, 1.4142135f, 1.4451808f,
    1.4768262f, 1.5091645f, 1.5422108f, 1.5759809f, 1.6104903f, 1.6457555f, 1.6817929f, 1.7186193f,
    1.7562522f, 1.7947091f, 1.8340081f, 1.8741677f, 1.9152066f, 1.9571441f,
};
INLINE vec vsigmoid(vec x)
{
    const __m512 near = _mm512_max_ps((__m512)splat(-104.0f), _mm512_min_ps((__m512)splat(104.0f), (__m512)x));
    const __m512 log2 = (__m512)splat(1.44269504088896341f), magic = (__m512)splat(393216.0f); /* 1.5 * 2^18 */
    const __m512 shifted = _mm512_fnmadd_round_ps(near, log2, magic, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512 n = (__m512)((vec)shifted - (vec)magic); /* in thirty-seconds, which are in the lowest bits as well */
    const vec r = (vec)_mm512_fnmsub_ps(near, log2, n), rest = (vec)near * -1.33497551e-8f; /* of log2 */
    const __m512 power = _mm512_permutex2var_ps((__m512)load(powers), (__m512i)shifted, (__m512)load(powers + 16));
    const vec scaled = (vec)_mm512_scalef_ps(power, n);
    const vec q = fused(r * r, horner(splat(0.055504109f), r, 0.24022651f), fused(r, splat(0.69314718f), rest));
    return splat(1.0f) / fused(scaled, q, scaled + 1.0f);
}
#else
/* sigmoid(x) = 1 / (1 + exp(-x)); within 2.5 units in the last place, down to -88 */
INLINE vec vsigmoid(vec x) { return splat(1.0f) / fused_exp(1.0f, -x, 1.0f); }
#endif
//! log
/* log(x) = n log(2) + log(1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1); after Cephes; within 1 unit in the last place */
INLINE vec vlog(vec x)
{
    const ivec tiny = less(x, splat(1.17549435e-38f));
    const vec normal = choose(tiny, x * 8388608.0f, x);
    const ivec shifted = bits(normal) - isplat(0x3f3504f3);
    const ivec n = (shifted >> 23) - (tiny & isplat(23));
    const vec f = number((shifted & isplat(0x7fffff)) + isplat(0x3f3504f3)) - 1.0f;
    vec p = horner(splat(7.0376836292e-2f), f, -1.1514610310e-1f);
    p = horner(p, f, 1.1676998740e-1f);
    p = horner(p, f, -1.2420140846e-1f);
    p = horner(p, f, 1.4249322787e-1f);
    p = horner(p, f, -1.6668057665e-1f);
    p = horner(p, f, 2.0000714765e-1f);
    p = horner(p, f, -2.4999993993e-1f);
    p = horner(p, f, 3.3333331174e-1f);
    const vec z = f * f, e = floats(n);
    const vec low = fused(e, splat(-2.12194440e-4f), fused(p * f, z, z * -0.5f));
    const vec y = fused(e, splat(0.693359375f), f + low);
    const vec infinite = number(isplat(0x7f800000));
    vec result = choose(equal(x, infinite) | ~equal(x, x), x, y);
    result = choose(less(x, splat(0.0f)), number(isplat(0x7fc00000)), result);
    return choose(equal(x, splat(0.0f)), -infinite, result);
}
//! softplus exp log
/* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
INLINE vec vsoftplus(vec x)
{
    const vec small = vexp(choose(less(x, splat(0.0f)), x, -x)), more = small + 1.0f; /* the last term is what more lost of small */
    return choose(less(x, splat(0.0f)), splat(0.0f), x) + (vlog(more) - ((more - 1.0f) - small) / more);
}
//! sqrt
/* Newton's iteration for 1 / sqrt(x), and one step for the root itself. */
INLINE vec vsqrt(vec x)
{
    const ivec tiny = less(x, splat(1.17549435e-38f));
    const vec normal = choose(tiny, x * 16777216.0f, x);
    vec y = number(isplat(0x5f375a86) - (bits(normal) >> 1));
    for (int i = 0; i < 3; i++) y = y * fused(normal * -0.5f * y, y, splat(1.5f));
    vec root = normal * y;
    root = fused(fused(-root, root, normal) * y, splat(0.5f), root);
    root = choose(tiny, root * 2.44140625e-4f, root);
    const ivec itself = equal(x, splat(0.0f)) | equal(x, number(isplat(0x7f800000))) | ~equal(x, x);
    return choose(less(x, splat(0.0f)), number(isplat(0x7fc00000)), choose(itself, x, root));
}
//! erf exp
INLINE vec verf(vec x)
{
    const vec positive = number(bits(x) & isplat(0x7fffffff));
    const vec t = choose(less(splat(4.0f), positive), splat(4.0f), positive), s = x * x;
    const vec other = horner(splat(-3.88396438e-3f), t, 2.42546219e-2f);
    vec far = fused(horner(splat(-1.72853470e-5f), t, 3.83197126e-4f), t * t, other);
    far = horner(far, t, -1.06777877e-1f);
    far = horner(far, t, -6.34846687e-1f);
    far = horner(far, t, -1.28717512e-1f);
    far = fused_exp(-1.0f, fused(far, t, -t), 1.0f);
    far = number(bits(far) | (bits(x) & isplat(INT32_MIN)));
    vec near = horner(splat(-5.96761703e-4f), s, 4.99119423e-3f);
    near = horner(near, s, -2.67681349e-2f);
    near = horner(near, s, 1.12819925e-1f);
    near = horner(near, s, -3.76125336e-1f);
    near = horner(near, s, 1.28379166e-1f);
    near = fused(near, x, x);
    return choose(less(positive, splat(0.921875f)), near, choose(equal(x, x), far, x));
}
//! expm1 tanh
/* exp(x) - 1 = 2 t / (1 - t), t = tanh(x / 2), for x <= 0 */
INLINE vec vexpm1(vec x)
{
    const vec t = vtanh(x * 0.5f);
    return t * 2.0f / (splat(1.0f) - t);
}
//! round
/* the nearest integer, halves to even; from 2^23 on every number is one; exact */
INLINE vec vround(vec x)
{
    const ivec sign = bits(x) & isplat(INT32_MIN);
    const vec limit = splat(8388608.0f), shift = number(bits(limit) | sign);
    const vec near = number(bits((x + shift) - shift) | sign);
    return choose(less(number(bits(x) & isplat(0x7fffffff)), limit), near, x);
}
//! floor round
/* the largest integer that is not above x; exact */
INLINE vec vfloor(vec x)
{
    const vec near = vround(x);
    return choose(less(x, near), near - 1.0f, near);
}
//! fmod
/* x - n y, n = x / y without its fraction, number by number in whole numbers: x = digits 2^e, and 40 of its bits at once
   are divided by the digits of y; exact */
INLINE float rest_of(float x, float y)
{
    uint32_t a, b;
    memcpy(&a, &x, sizeof a), memcpy(&b, &y, sizeof b);
    const uint32_t negative = a >> 31;
    a &= 0x7fffffff, b &= 0x7fffffff;
    if (a >= 0x7f800000 || b > 0x7f800000 || !b) {
        const uint32_t nan = 0x7fc00000;
        memcpy(&x, &nan, sizeof x);
        return x;
    }
    if (a < b) return x;
    const int last = b >> 23 ? (int)(b >> 23) : 1; /* the exponents of the lowest digits, 149 more than they are */
    const uint64_t divisor = b >> 23 ? (b & 0x7fffff) | 0x800000 : b;
    uint64_t rest = a >> 23 ? (a & 0x7fffff) | 0x800000 : a;
    int left = (a >> 23 ? (int)(a >> 23) : 1) - last;
    do {
        const int some = left < 40 ? left : 40;
        rest = (rest << some) % divisor;
        left -= some;
    } while (left);
    const uint64_t scale = (uint64_t)(last - 150 + 1023) << 52; /* in double precision this is a normal number */
    double unit;
    memcpy(&unit, &scale, sizeof unit);
    const float size = (float)((double)(int32_t)rest * unit);
    return negative ? -size : size;
}
INLINE vec vfmod(vec x, vec y)
{
    float a[LANES], b[LANES];
    store(a, x), store(b, y);
    for (int i = 0; i < LANES; i++) a[i] = rest_of(a[i], b[i]);
    return load(a);
}
//! turn
/* sin(x + quarter pi / 2), number by number in double precision: x = n pi / 2 + r, |r| <= pi / 4. From 2^19 on the
   remainder is taken with those 96 bits of 4 / pi that matter, after ARM's optimized routines. Within 1 unit in the
   last place. */
INLINE float turn(float x, unsigned quarter)
{
    static const uint32_t pi[24] = {
        0xa2,       0xa2f9,     0xa2f983,   0xa2f9836e, 0xf9836e4e, 0x836e4e44, 0x6e4e4415, 0x4e441529,
        0x441529fc, 0x1529fc27, 0x29fc2757, 0xfc2757d1, 0x2757d1f5, 0x57d1f534, 0xd1f534dd, 0xf534ddc0,
        0x34ddc0db, 0xddc0db62, 0xc0db6295, 0xdb629599, 0x6295993c, 0x95993c43, 0x993c4390, 0x3c439041};
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    if ((word & 0x7f800000) == 0x7f800000) return x - x;
    double r;
    if ((word & 0x7fffffff) < 0x49000000) {
        const double n = (x * 0.63661977236758134 + 6755399441055744.0) - 6755399441055744.0;
        r = (x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;
        quarter += (unsigned)(int)n;
    } else {
        const uint32_t *some = pi + ((word >> 26) & 15);
        const uint32_t digits = ((word & 0xffffff) | 0x800000) << ((word >> 23) & 7);
        uint64_t part = (((uint64_t)digits * some[8]) >> 32) | ((uint64_t)(uint32_t)(digits * some[0]) << 32);
        part += (uint64_t)digits * some[4];
        const uint64_t n = (part + ((uint64_t)1 << 61)) >> 62;
        r = (double)(int64_t)(part - (n << 62)) * 3.4061215800304929e-19; /* pi / 2^63 */
        r = word >> 31 ? -r : r;
        quarter += word >> 31 ? 0u - (unsigned)n : (unsigned)n;
    }
    const double s = r * r;
    double y = r + r * s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 - s / 39916800))));
    if (quarter & 1)
        y = 1 + s * (-0.5 + s * (1.0 / 24 + s * (-1.0 / 720 + s * (1.0 / 40320 - s / 3628800))));
    return (float)(quarter & 2 ? -y : y);
}
INLINE vec turned(vec x, unsigned quarter)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = turn(y[i], quarter);
    return load(y);
}
//! sin turn
INLINE vec vsin(vec x) { return turned(x, 0); }
//! cos turn
INLINE vec vcos(vec x) { return turned(x, 1); }
//! double
/* Number by number in double precision: exp(x) for |x| < 700, the square root, the natural logarithm of a normal x. */
INLINE double double_exp(double x)
{
    const double n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0;
    const double f = (x - n * 0.69314718036912382) - n * 1.9082149292705877e-10;
    double p = 1.0 / 40320 + f * (1.0 / 362880 + f * (1.0 / 3628800 + f / 39916800));
    p = 1.0 / 24 + f * (1.0 / 120 + f * (1.0 / 720 + f * (1.0 / 5040 + f * p)));
    p = 1 + f * (1 + f * (0.5 + f * (1.0 / 6 + f * p)));
    const uint64_t word = (uint64_t)((int64_t)n + 1023) << 52;
    double scale;
    memcpy(&scale, &word, sizeof scale);
    return p * scale;
}
INLINE double double_root(double x)
{
    if (!(x > 0)) return x == 0 ? x : __builtin_nan("");
    uint64_t word;
    memcpy(&word, &x, sizeof word);
    word = 0x5fe6eb50c7b537a9 - (word >> 1);
    double y;
    memcpy(&y, &word, sizeof y);
    for (int i = 0; i < 4; i++) y = y * (1.5 - 0.5 * x * y * y);
    return x * y;
}
INLINE double double_log(double x)
{
    uint64_t word;
    memcpy(&word, &x, sizeof word);
    const uint64_t root = 0x3fe6a09e667f3bcd, from = word - root; /* of 1/2 */
    const int64_t exponent = (int64_t)((from + ((uint64_t)1 << 62)) >> 52) - 1024;
    word = (from & 0xfffffffffffff) + root;
    double m;
    memcpy(&m, &word, sizeof m);
    const double s = (m - 1) / (m + 1), q = s * s;
    const double series = q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11 + q / 13)))));
    return (double)exponent * 0.69314718055994531 + 2 * (s + s * series);
}
//! sinh double
/* (exp(x) - exp(-x)) / 2, and its series next to 0 */
INLINE double sinh_of(double x)
{
    const double s = x * x, near = x > 200 ? 200 : x < -200 ? -200 : x;
    if (s < 0.09) return x + x * s * (1.0 / 6 + s * (1.0 / 120 + s / 5040));
    const double power = double_exp(near);
    return x != x ? x : (power - 1 / power) / 2;
}
INLINE vec vsinh(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)sinh_of(y[i]);
    return load(y);
}
//! cosh double
/* (exp(x) + exp(-x)) / 2 */
INLINE double cosh_of(double x)
{
    const double power = double_exp(x > 200 ? 200 : x < -200 ? -200 : x);
    return x != x ? x : (power + 1 / power) / 2;
}
INLINE vec vcosh(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)cosh_of(y[i]);
    return load(y);
}
//! asinh double
/* log(x + sqrt(x^2 + 1)), and its series next to 0 */
INLINE double asinh_of(double x)
{
    const double s = x * x, size = x < 0 ? -x : x;
    if (s < 0.01) return x + x * s * (-1.0 / 6 + s * (3.0 / 40 + s * (-15.0 / 336 + s * (105.0 / 3456))));
    if (!(size < 1e300)) return x;
    const double log = double_log(size + double_root(s + 1));
    return x < 0 ? -log : log;
}
INLINE vec vasinh(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)asinh_of(y[i]);
    return load(y);
}
//! acosh double
/* log(x + sqrt(x^2 - 1)) */
INLINE double acosh_of(double x)
{
    if (!(x >= 1)) return __builtin_nan("");
    return x < 1e300 ? double_log(x + double_root((x - 1) * (x + 1))) : x;
}
INLINE vec vacosh(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)acosh_of(y[i]);
    return load(y);
}
//! atanh double
/* log((1 + x) / (1 - x)) / 2, and its series next to 0 */
INLINE double atanh_of(double x)
{
    const double s = x * x;
    if (s < 0.01) return x + x * s * (1.0 / 3 + s * (1.0 / 5 + s * (1.0 / 7 + s * (1.0 / 9))));
    if (!(s < 1)) return s == 1 ? x * __builtin_inf() : __builtin_nan("");
    return double_log((1 + x) / (1 - x)) / 2;
}
INLINE vec vatanh(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)atanh_of(y[i]);
    return load(y);
}
//! arc double
/* atan(y / x) for x >= 0: of the smaller one by the larger one, about 0 or pi / 4, by its series */
INLINE double arc(double y, double x)
{
    const double size = y < 0 ? -y : y, low = size < x ? size : x, high = size < x ? x : size;
    const double infinite = __builtin_inf(), z = high == infinite ? (low == infinite ? 1 : 0) : low / high;
    const double near = z > 0.41421356237309505 ? (z - 1) / (z + 1) : z, s = near * near;
    double p = 1.0 / 15 - s * (1.0 / 17 - s * (1.0 / 19 - s * (1.0 / 21 - s / 23)));
    p = 1 - s * (1.0 / 3 - s * (1.0 / 5 - s * (1.0 / 7 - s * (1.0 / 9 - s * (1.0 / 11 - s * (1.0 / 13 - s * p))))));
    double angle = near * p + (z > 0.41421356237309505 ? 0.78539816339744831 : 0);
    if (!(size < x)) angle = 1.5707963267948966 - angle;
    if (size != size || x != x) angle = __builtin_nan("");
    return y < 0 ? -angle : angle;
}
//! atan arc
INLINE double atan_of(double x) { return x == 0 ? x : arc(x, 1); }
INLINE vec vatan(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)atan_of(y[i]);
    return load(y);
}
//! asin arc
INLINE double asin_of(double x) { return x == 0 ? x : arc(x, double_root((1 - x) * (1 + x))); }
INLINE vec vasin(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)asin_of(y[i]);
    return load(y);
}
//! acos arc
/* 2 atan(sqrt((1 - x) / (1 + x))) */
INLINE double acos_of(double x) { return 2 * arc(double_root(1 - x), double_root(1 + x)); }
INLINE vec vacos(vec x)
{
    float y[LANES];
    store(y, x);
    for (int i = 0; i < LANES; i++) y[i] = (float)acos_of(y[i]);
    return load(y);
}
//! pow
/* x^y = 2^(y log2(x)), number by number in double precision; within 1 unit in the last place */
INLINE float power(float x, float y)
{
    if (y == 0.0f || x == 1.0f) return 1.0f;
    if (x != x || y != y) return x + y;
    const float infinite = __builtin_inff();
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    const int below = word >> 31, large = y >= 16777216.0f || y <= -16777216.0f; /* even then */
    const int integer = large || y == (float)(int32_t)y, odd = integer && !large && ((int32_t)y & 1);
    const float size = below ? -x : x;
    if (below && !integer && size > 0.0f && size < infinite) return __builtin_nanf("");
    double result;
    if (size == 1.0f) {
        result = 1;
    } else if (size == 0.0f || size == infinite || y == infinite || y == -infinite) {
        result = (size > 1.0f) == (y > 0.0f) ? infinite : 0;
    } else {
        const double wide = size;
        uint64_t digits;
        memcpy(&digits, &wide, sizeof digits);
        const uint64_t root = 0x3fe6a09e667f3bcd, from = digits - root; /* of 1/2 */
        const int64_t exponent = (int64_t)((from + ((uint64_t)1 << 62)) >> 52) - 1024;
        digits = (from & 0xfffffffffffff) + root;
        double m;
        memcpy(&m, &digits, sizeof m);
        const double s = (m - 1) / (m + 1), q = s * s;
        const double series = q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11 + q / 13)))));
        double t = y * ((double)exponent + (s + s * series) * 2.8853900817779268);
        t = t > 200 ? 200 : t < -200 ? -200 : t;
        const double n = (t + 6755399441055744.0) - 6755399441055744.0, f = (t - n) * 0.69314718055994531;
        double p = 1.0 / 5040 + f * (1.0 / 40320 + f / 362880);
        p = 1 + f * (1 + f * (0.5 + f * (1.0 / 6 + f * (1.0 / 24 + f * (1.0 / 120 + f * (1.0 / 720 + f * p))))));
        const uint64_t scale = (uint64_t)((int64_t)n + 1023) << 52;
        memcpy(&m, &scale, sizeof m);
        result = p * m;
    }
    const float power = result > 3.4028235677973366e38 ? infinite : (float)result;
    return below && odd ? -power : power;
}
INLINE vec vpow(vec x, vec y)
{
    float a[LANES], b[LANES];
    store(a, x), store(b, y);
    for (int i = 0; i < LANES; i++) a[i] = power(a[i], b[i]);
    return load(a);
}
