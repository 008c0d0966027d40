/* Vectors of LANES numbers. Every row gets the same operations in the same order, whatever rows stand beside it. */
#if LANES > 1
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
INLINE vec splat(float x) { return x - (vec){0}; }
INLINE ivec isplat(int32_t x) { return x - (ivec){0}; }
INLINE ivec bits(vec x) { return (ivec)x; }
INLINE vec number(ivec x) { return (vec)x; }
INLINE ivec less(vec a, vec b) { return (ivec)(a < b); }
INLINE ivec less_or_equal(vec a, vec b) { return (ivec)(a <= b); }
INLINE ivec equal(vec a, vec b) { return (ivec)(a == b); }
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
INLINE vec floats(ivec x) { return __builtin_convertvector(x, vec); }
#else
typedef float vec;
typedef int32_t ivec;
INLINE vec splat(float x) { return x; }
INLINE ivec isplat(int32_t x) { return x; }
INLINE ivec bits(vec x) { ivec y; memcpy(&y, &x, sizeof y); return y; }
INLINE vec number(ivec x) { vec y; memcpy(&y, &x, sizeof y); return y; }
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

//! affine
/* y = b + x W for some rows, or y += x W where b is NULL. W is packed: panels of 64 or 32 columns, the last ones
   of 32 and 16, each of k rows. Every number is the sum of PARTS sums over k, whatever the tile. */
INLINE void tile(const int rows, const int vectors, const int parts, int k, const float *x, size_t x_step,
                 const float *w, const int width, const float *b, float *y, size_t y_step)
{
    vec sum[8][4][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int u = 0; u < vectors; u++) {
            sum[r][u][0] = load((b ? b : y + r * y_step) + u * LANES);
            UNROLL for (int p = 1; p < parts; p++) sum[r][u][p] = splat(0.0f);
        }
    int i = 0;
    for (; i + parts <= k; i += parts)
        UNROLL for (int p = 0; p < parts; p++)
            UNROLL for (int u = 0; u < vectors; u++) {
                const vec column = load(w + u * LANES / width * width * k + (i + p) * width + u * LANES % width);
                UNROLL for (int r = 0; r < rows; r++) sum[r][u][p] += column * x[r * x_step + i + p];
            }
    UNROLL for (int p = 0; p < parts - 1; p++)
        if (i + p < k)
            UNROLL for (int u = 0; u < vectors; u++) {
                const vec column = load(w + u * LANES / width * width * k + (i + p) * width + u * LANES % width);
                UNROLL for (int r = 0; r < rows; r++) sum[r][u][p] += column * x[r * x_step + i + p];
            }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int u = 0; u < vectors; u++) {
            vec total = sum[r][u][0];
            if (parts == 2) total = total + sum[r][u][1];
            if (parts == 4) total = (total + sum[r][u][1]) + (sum[r][u][2] + sum[r][u][3]);
            store(y + r * y_step + u * LANES, total);
        }
}

/* The columns of up to two panels for all rows: tiles of many rows and few vectors, of few rows and many. */
INLINE void strip(const int columns, const int parts, size_t rows, int k, const float *x, size_t x_step,
                  const float *w, const int width, const float *b, float *y, size_t y_step)
{
    const int all = columns / LANES;
    size_t done = 0;
    UNROLL for (int tall = 8; tall > 0; tall /= 2) {
        const int room = REGISTERS / (tall * parts);
        const int vectors = room < 1 ? 1 : room < 4 ? room : 4, most = vectors < all ? vectors : all;
        const size_t end = tall > 1 && tall * parts > REGISTERS ? done : done + (rows - done) / tall * tall;
        UNROLL for (int u = 0; u < all; u += most)
            for (size_t r = done; r < end; r += tall)
                tile(tall, most, parts, k, x + r * x_step, x_step,
                     w + u * LANES / width * width * k + u * LANES % width, width, b ? b + u * LANES : b,
                     y + r * y_step + u * LANES, y_step);
        done = end;
    }
}

INLINE void affine(const int parts, const int width, size_t rows, const int k, const int n,
                   const float *x, size_t x_step, const float *w, const float *b, float *y, size_t y_step)
{
    int j = 0;
    for (; j + 64 <= n; j += 64)
        strip(64, parts, rows, k, x, x_step, w + j * k, width, b ? b + j : b, y + j, y_step);
    if (j + 32 <= n) {
        strip(32, parts, rows, k, x, x_step, w + j * k, 32, b ? b + j : b, y + j, y_step);
        j += 32;
    }
    if (j < n) strip(16, parts, rows, k, x, x_step, w + j * k, 16, b ? b + j : b, y + j, y_step);
}

//! maximum
INLINE vec maximum(vec a, vec b) { return choose(~less_or_equal(a, b) & equal(b, b), a, b); }
//! minimum
INLINE vec minimum(vec a, vec b) { return choose(~less_or_equal(b, a) & equal(b, b), a, b); }
//! exp
/* exp(x) = 2^n exp(r), |r| <= log(2) / 2; within 1.1 units in the last place */
INLINE vec vexp(vec x)
{
    vec near = choose(less(x, splat(-110.0f)), splat(-110.0f), x);
    near = choose(less(splat(110.0f), near), splat(110.0f), near);
    const vec magic = splat(12582912.0f); /* 1.5 * 2^23: rounds, and leaves n in the lowest bits */
    const vec shifted = near * 1.44269504088896341f + magic;
    const vec n = shifted - magic;
    const vec r = (near - n * 0.693145751953125f) - n * 1.428606820309417e-6f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r * r + r) + 1.0f;
    const ivec whole = bits(shifted) - isplat(0x4b400000);
    const ivec half = whole >> 1; /* in two steps: 2^n itself may be out of range */
    return p * number((half + 127) << 23) * number((whole - half + 127) << 23);
}
//! tanh
/* tanh(x) = x P(x^2) / Q(x^2) up to 9, where it rounds to 1; within 5 units in the last place */
INLINE vec vtanh(vec x)
{
    const vec u = x * x, uu = u * u;
    const vec p = (u * 2.054511060123332e-05f + 0.003491703188046813f) + uu * 1.3265852416566304e-08f;
    const vec q = (u * 0.00032792799174785614f + 0.025862203910946846f) + uu * 7.740250680399186e-07f;
    const vec top = (p * uu + (u * 0.13377754390239716f + 1.0f)) * x;
    const vec bottom = q * uu + (u * 0.46711069345474243f + 1.0f);
    const vec one = number((bits(x) & isplat(INT32_MIN)) | bits(splat(1.0f)));
    return choose(less(splat(81.0f), u), one, top / bottom);
}
//! sigmoid exp
/* sigmoid(x) = 1 / (1 + exp(-x)); within 2.5 units in the last place, down to -88 */
INLINE vec vsigmoid(vec x) { return splat(1.0f) / (vexp(-x) + 1.0f); }
//! log
/* log(x) = n log(2) + log(1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1); after Cephes; within 1 unit in the last place */
INLINE vec vlog(vec x)
{
    const ivec tiny = less(x, splat(1.17549435e-38f));
    const vec normal = choose(tiny, x * 8388608.0f, x);
    const ivec shifted = bits(normal) - isplat(0x3f3504f3);
    const ivec n = (shifted >> 23) - (tiny & isplat(23));
    const vec f = number((shifted & isplat(0x7fffff)) + isplat(0x3f3504f3)) - 1.0f;
    vec p = f * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const vec z = f * f, e = floats(n);
    const vec y = (f + ((p * f * z - z * 0.5f) - e * 2.12194440e-4f)) + e * 0.693359375f;
    const vec infinite = number(isplat(0x7f800000));
    vec result = choose(equal(x, infinite) | ~equal(x, x), x, y);
    result = choose(less(x, splat(0.0f)), number(isplat(0x7fc00000)), result);
    return choose(equal(x, splat(0.0f)), -infinite, result);
}
//! softplus exp log
/* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
INLINE vec vsoftplus(vec x)
{
    const vec small = vexp(choose(less(x, splat(0.0f)), x, -x)), whole = small + 1.0f;
    return choose(less(x, splat(0.0f)), splat(0.0f), x) + (vlog(whole) - ((whole - 1.0f) - small) / whole);
}
//! sqrt
/* Newton's iteration for 1 / sqrt(x), and one step for the root itself. */
INLINE vec vsqrt(vec x)
{
    const ivec tiny = less(x, splat(1.17549435e-38f));
    const vec normal = choose(tiny, x * 16777216.0f, x);
    vec y = number(isplat(0x5f375a86) - (bits(normal) >> 1));
    for (int i = 0; i < 3; i++) y = y * (splat(1.5f) - normal * 0.5f * y * y);
    vec root = normal * y;
    root = root + (normal - root * root) * y * 0.5f;
    root = choose(tiny, root * 2.44140625e-4f, root);
    const ivec itself = equal(x, splat(0.0f)) | equal(x, number(isplat(0x7f800000))) | ~equal(x, x);
    return choose(less(x, splat(0.0f)), number(isplat(0x7fc00000)), choose(itself, x, root));
}
//! erf exp
INLINE vec verf(vec x)
{
    const vec positive = number(bits(x) & isplat(0x7fffffff));
    const vec t = choose(less(splat(4.0f), positive), splat(4.0f), positive), s = x * x;
    vec far = t * -1.72853470e-5f + 3.83197126e-4f;
    vec other = t * -3.88396438e-3f + 2.42546219e-2f;
    far = far * (t * t) + other;
    far = far * t - 1.06777877e-1f;
    far = far * t - 6.34846687e-1f;
    far = far * t - 1.28717512e-1f;
    far = splat(1.0f) - vexp(far * t - t);
    far = number(bits(far) | (bits(x) & isplat(INT32_MIN)));
    vec near = s * -5.96761703e-4f + 4.99119423e-3f;
    near = near * s - 2.67681349e-2f;
    near = near * s + 1.12819925e-1f;
    near = near * s - 3.76125336e-1f;
    near = near * s + 1.28379166e-1f;
    near = near * x + x;
    return choose(less(positive, splat(0.921875f)), near, choose(equal(x, x), far, x));
}
//! expm1 tanh
/* exp(x) - 1 = 2 t / (1 - t), t = tanh(x / 2), for x <= 0 */
INLINE vec vexpm1(vec x)
{
    const vec t = vtanh(x * 0.5f);
    return t * 2.0f / (splat(1.0f) - t);
}
