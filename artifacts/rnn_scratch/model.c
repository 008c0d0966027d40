/* rnn_scratch: written by rnn-export 0.1.0. model.h says how to call it.

   The first part has the sizes, the weights and the functions that you call. Behind #else stands what computes. It is
   compiled once for each kind of processor that may run it, with LANES floats in a vector: this file includes itself.
   Read it from the end: walk() runs some rows of the batch over all time steps. */
#ifndef VARIANT
#include <float.h>
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 /* that is for _Float16 alone */
#error "model.c needs floats that are rounded to floats. For a 32-bit x86 add: -msse2 -mfpmath=sse"
#endif
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "model.c is not right with -ffast-math, -Ofast or a part of them. Compile it without: it is not faster with"
#endif
/* A product and a sum are fused where that is written, and nowhere else. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#ifdef __x86_64__
#pragma GCC target("tune=generic") /* as without -march: what GCC 12 does for Zen 4 instead takes a fifth longer */
#endif
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif
#include "model.h"
#include <string.h>
/* Without vectors of the processor, one number at a time is faster: GCC takes NEON of a 32-bit Arm apart. */
#if !defined(__SSE__) && !defined(__aarch64__) && !defined(__wasm_simd128__) && !defined(__riscv_vector) && \
    !defined(__ALTIVEC__) && !defined(__VEC__) && !defined(__mips_msa) && !defined(__loongarch_sx) && \
    !(defined(__ARM_NEON) && defined(__clang__)) && !(defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE > 1) && \
    !defined(PLAIN_LOOPS)
#define PLAIN_LOOPS
#endif
#if defined(__x86_64__) && defined(__GNUC__) && !defined(PLAIN_LOOPS)
#include <immintrin.h> /* of the compiler; for AVX2 and AVX-512 */
#elif defined(__aarch64__) && defined(__GNUC__) && !defined(PLAIN_LOOPS)
#include <arm_neon.h> /* of the compiler */
#elif defined(__ARM_FEATURE_MVE) && defined(__GNUC__) && !defined(PLAIN_LOOPS)
#include <arm_mve.h> /* of the compiler */
#endif
#define FILE_NAME "model.c"

#if defined(__GNUC__) || defined(__clang__)
#define INLINE TARGET static inline __attribute__((always_inline, unused))
#define ALIGNED __attribute__((aligned(64)))
#define APART __attribute__((noinline, unused)) /* only the chosen one of several takes its stack */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define REPEAT _Pragma("unroll 8")
#pragma clang diagnostic ignored "-Wpass-failed" /* a loop of a single round is none to unroll */
#else
#define UNROLL _Pragma("GCC unroll 16")
#define REPEAT _Pragma("GCC unroll 8")
#pragma GCC diagnostic ignored "-Warray-bounds" /* it cannot know that buffers have room for all rows */
#endif
#else
#define INLINE static inline
#define ALIGNED
#define APART
#define UNROLL
#define REPEAT
#endif

/* Functions get the name of the processor: tanh_avx2 and so on. */
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define vec JOIN(vec, VARIANT)
#define ivec JOIN(ivec, VARIANT)
#define splat JOIN(splat, VARIANT)
#define isplat JOIN(isplat, VARIANT)
#define bits JOIN(bits, VARIANT)
#define number JOIN(number, VARIANT)
#define to_exponent JOIN(to_exponent, VARIANT)
#define less JOIN(less, VARIANT)
#define less_or_equal JOIN(less_or_equal, VARIANT)
#define equal JOIN(equal, VARIANT)
#define choose JOIN(choose, VARIANT)
#define floats JOIN(floats, VARIANT)
#define load JOIN(load, VARIANT)
#define store JOIN(store, VARIANT)
#define iload JOIN(iload, VARIANT)
#define istore JOIN(istore, VARIANT)
#define fused JOIN(fused, VARIANT)
#define fused_by JOIN(fused_by, VARIANT)
#define horner JOIN(horner, VARIANT)
#define hand_on JOIN(hand_on, VARIANT)
#define terms JOIN(terms, VARIANT)
#define product JOIN(product, VARIANT)
#define both JOIN(both, VARIANT)
#define second JOIN(second, VARIANT)
#define add_gates JOIN(add_gates, VARIANT)
#define total JOIN(total, VARIANT)
#define dot JOIN(dot, VARIANT)
#define piece JOIN(piece, VARIANT)
#define vtanh JOIN(vtanh, VARIANT)
#define H_tile JOIN(H_tile, VARIANT)
#define walk JOIN(walk, VARIANT)
#define run_step JOIN(run_step, VARIANT)
#define run_row JOIN(run_row, VARIANT)
#define run_rows JOIN(run_rows, VARIANT)
#define run_all JOIN(run_all, VARIANT)

/* A slot is one row at one time step. */
#if RNN_SCRATCH_SMALL
#define SLOTS 1 /* rows times time steps that are computed together */
#else
#define SLOTS 64
#endif
#define FEW 1 /* rows, up to which few time steps are computed together: less to wait for */
#define FEW_SLOTS (SLOTS < 8 ? SLOTS : 8)
#define TALLEST (SLOTS < 8 ? SLOTS : 8) /* rows of a tile, whose numbers stay in registers */
#define PAD 16 /* numbers behind a buffer, which the last vector of a row may read */
/* Of each vector: SIZE numbers, WIDE if rounded up to whole vectors of the processor; a row of its buffer begins ROW
   numbers behind the one before. */
enum {
    H_SIZE = 32, H_ROW = 32,
    INPUTS_SIZE = 16, INPUTS_ROW = 16,
    OUTPUTS_SIZE = 1, OUTPUTS_ROW = 16,
};

struct call {
    size_t steps;
    size_t batch;
    const float *inputs;
    const float *state_in;
    float *outputs;
    float *state_out;
};

ALIGNED static const float b_h[48] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
ALIGNED static const float W_xh[512] = {
    -0.011258398f, -0.011523602f, -0.0025057858f, -0.004338788f, 0.0084871035f, 0.0069200913f, -0.0031601277f,
    -0.021152193f, 0.003222749f, -0.012633347f, 0.0034998318f, 0.0030813392f, 0.0011984151f, 0.0123765785f,
    0.011167771f, -0.0024727816f, -0.013526537f, -0.016959311f, 0.005666506f, 0.0079350835f, 0.0059883944f,
    -0.015550951f, -0.0034136039f, 0.018530061f, 0.0075018946f, -0.0058549754f, -0.0017339675f, 0.0018347794f,
    0.013893661f, 0.015863342f, 0.009462983f, -0.008436767f, -0.0061358307f, 0.0003159274f, -0.0049267695f,
    0.0024841474f, 0.0043969583f, 0.0011241118f, 0.0064079235f, 0.004411563f, -0.0010230965f, 0.007924439f,
    -0.002896677f, 0.00052507484f, 0.0052286047f, 0.023022052f, -0.014688939f, -0.015866887f, -0.006730899f,
    0.008728312f, 0.010553574f, 0.0017784372f, -0.0023033547f, -0.0039175437f, 0.005432947f, -0.003951575f,
    -0.004462172f, 0.007440207f, 0.015209795f, 0.034105025f, -0.015311843f, -0.01234135f, 0.018197251f,
    -0.0055152867f, -0.0056924806f, 0.009199714f, 0.011108161f, 0.01289874f, -0.01478174f, 0.025672328f,
    -0.004731198f, 0.0033555075f, -0.01629326f, -0.0054974365f, -0.0047983425f, -0.004996815f, -0.010669803f,
    0.011149395f, -0.0014067143f, 0.008057536f, -0.0009334823f, 0.006870502f, -0.008383154f, 8.918218e-06f,
    0.008418941f, -0.0040003415f, 0.01039462f, 0.0035815309f, -0.0024600094f, 0.023025164f, -0.018816892f,
    -0.0004972702f, -0.010449786f, -0.009565008f, 0.0003353186f, 0.0071008657f, 0.01645867f, -0.013601689f,
    0.0034456542f, 0.005198677f, -0.026133224f, -0.016964745f, -0.0022824178f, 0.0027995498f, 0.002469264f,
    0.00076887f, 0.003380058f, 0.0045440174f, 0.0045694015f, -0.008653713f, 0.007813079f, -0.009267894f,
    -0.0021883368f, -0.024350652f, -0.0007291476f, -0.00033986408f, 0.0096251825f, 0.0034916822f,
    -0.00921462f, -0.0005619479f, -0.006226985f, -0.004637222f, 0.019217823f, -0.004025455f, 0.0012390248f,
    0.011647834f, 0.009233735f, 0.013872952f, -0.008833758f, -0.0041891346f, -0.008048265f, 0.005656096f,
    0.006103646f, 0.004668835f, 0.01950657f, -0.010630986f, -0.0007732575f, 0.0011639864f, -0.005939908f,
    -0.012439282f, -0.0010209263f, -0.010335484f, -0.0031263882f, 0.0024578548f, -0.0025964156f,
    0.0011833705f, 0.0024395925f, 0.011646006f, 0.0028857614f, 0.0038659775f, -0.002010639f, -0.0011792699f,
    0.0019219904f, -0.007721569f, -0.019003453f, 0.0013067744f, -0.0070429393f, 0.0031472095f, 0.0015739289f,
    0.003853627f, 0.009671456f, -0.0099108275f, 0.0030160542f, -0.0010731693f, 0.009984566f, -0.0049871476f,
    0.007611109f, 0.006183008f, 0.0031404856f, 0.0021333299f, -0.0012005083f, 0.0036045972f, -0.0031403499f,
    -0.01078708f, 0.0024081052f, -0.013962273f, -0.0006614405f, -0.0035835507f, -0.015615617f, -0.0035464328f,
    0.010810725f, 0.0013147806f, 0.015735382f, 0.007814299f, -0.01078658f, -0.007209098f, 0.014707926f,
    0.00275635f, 0.0066678105f, -0.009943896f, -0.011893639f, -0.011959494f, -0.005596301f, 0.005334718f,
    0.004068866f, 0.003945865f, 0.0017151096f, 0.008760448f, -0.002870874f, 0.0102164f, -0.00074394915f,
    -0.010922236f, 0.003920264f, 0.005945261f, 0.0066227405f, -0.012063024f, 0.006074397f, -0.005471568f,
    0.011710889f, 0.0009749613f, 0.009633745f, 0.008403232f, -0.012536547f, 0.00986836f, -0.0049465504f,
    -0.01283043f, 0.009552218f, 0.012835776f, -0.0066586114f, 0.0056513366f, 0.0028770338f, -0.00033374783f,
    -0.010618884f, -0.0011442617f, -0.003433358f, 0.015712649f, 0.0019161488f, 0.0037994185f, -0.0014475703f,
    0.006376178f, -0.0028129022f, -0.013298751f, -0.0014201079f, -0.0053414577f, -0.0052337903f, 0.008615042f,
    -0.008869632f, 0.008387746f, 0.011528951f, -0.01761098f, -0.014777428f, -0.01755671f, 0.0007616609f,
    -0.010786033f, 0.014403421f, -0.0011059418f, 0.0057686022f, -0.0016917408f, -0.0006402487f, 0.010384255f,
    0.009068235f, -0.0047551384f, -0.008707436f, 0.0014474288f, 0.019028565f, 0.0039039578f, -0.0003937254f,
    -0.008014722f, -0.004955443f, -0.0036151404f, 0.0058511323f, -0.011560066f, -0.0014336488f,
    -0.0019474059f, -0.00085563405f, 0.013945199f, 0.0059690005f, -0.0048284833f, -0.003660986f,
    -0.013270524f, 0.016952796f, 0.020654995f, -0.0023395768f, 0.007073183f, 0.0058004805f, 0.0026830207f,
    -0.020589387f, 0.0053402064f, -0.005353949f, -0.00863665f, -0.00023494405f, 0.011716698f, 0.003986872f,
    -0.0019871553f, -0.011559407f, -0.0031666951f, 0.009402981f, -0.011469545f, 0.0055880332f, 0.007917585f,
    -0.0018467576f, -0.0073177246f, -0.0008065191f, -0.009800607f, 0.0006049147f, -0.004889546f,
    -0.008137313f, 0.008199948f, -0.006331734f, 0.012947547f, 0.014628292f, -0.006204336f, 0.009883893f,
    -0.0043217815f, -0.006232189f, -0.0021624533f, -0.0048867543f, 0.007869559f, 0.0010759073f, -0.010714776f,
    -0.0011664776f, -0.010169707f, -0.011979784f, 0.0047843773f, -0.012295243f, -0.013700363f, 0.015435417f,
    -0.00033207f, -0.004186264f, -0.0025559673f, -0.0012923043f, -0.0005459475f, 0.004083467f, 0.011263658f,
    0.019350573f, 0.010076851f, 0.010046416f, -0.0043351976f, -0.012425977f, 0.0128455f, 0.0024377229f,
    0.005303686f, -0.00014530729f, -0.022357183f, 0.014660301f, -0.012190581f, 0.0064423005f, 0.03930004f,
    -0.0012442429f, 0.002953417f, 0.0038265418f, -0.0054972135f, -0.009940357f, 0.013459369f, 0.01945668f,
    -0.012903639f, -0.02349476f, -0.02068862f, 0.00909421f, -0.0069462005f, 0.01959457f, -0.011038278f,
    0.005411418f, 0.015389583f, 0.010860491f, 0.01246405f, 0.0011507506f, 0.016193075f, 0.004636935f,
    0.013007354f, 0.008732305f, 0.000651267f, 0.007732411f, -0.009701384f, -0.008876769f, -0.0031831628f,
    -0.0033440369f, 0.0045428365f, 0.0049895304f, 0.008779975f, 0.0038944434f, 0.014625175f, 0.004795061f,
    -0.005334f, -0.00034651347f, 0.0065729693f, -0.003112243f, -0.0056200353f, -0.004834926f, -0.012721126f,
    -0.0017401822f, 0.005541167f, -0.0018165524f, -0.0023447338f, 0.002942013f, 0.007973224f, 0.012642154f,
    0.009354923f, 0.0054546357f, -0.0153738875f, 0.0031243863f, 0.0074005965f, 0.014502208f, 0.041014932f,
    0.011182258f, -0.015668472f, -0.0069897515f, 0.0057438635f, 0.012380632f, -0.006405401f, -0.0076447283f,
    0.0024084058f, 0.0016642573f, -0.022318145f, 0.013892112f, -0.005023326f, 0.016796928f, -0.010239529f,
    0.016859243f, -0.01217692f, 0.007649633f, 0.011971181f, -0.007127861f, -0.0006557553f, 0.022049703f,
    0.017851708f, -0.00011840226f, 0.009796671f, -0.010660514f, 0.017719636f, -0.0027926017f, -0.002769014f,
    0.007489254f, -0.0064345514f, -0.009517593f, 0.0027152125f, 0.0067157885f, 0.018499821f, 0.0119095f,
    -0.005898565f, 0.009646937f, -0.015093512f, 0.022557305f, 0.012287957f, -0.004854608f, 0.0045357132f,
    0.013514447f, 0.0043392694f, -0.00513252f, -0.0018602684f, 0.0027565816f, 0.0010969064f, 0.003594241f,
    -0.007537385f, 0.0022939958f, -0.0025444396f, 0.015800135f, -0.0024436435f, -0.011991092f,
    -0.00025686168f, 0.01802375f, -0.010596531f, 0.034028262f, -0.0056866994f, -0.0047548907f, 0.01743163f,
    -0.0020440745f, -0.0031641438f, 0.012937437f, 0.013452623f, 0.0019394377f, 0.015716748f, -0.003827351f,
    0.013950834f, 0.0034274554f, -0.016044926f, -0.005873053f, 0.0060038846f, 0.004378035f, -0.00096454675f,
    0.0033026882f, -0.0018751889f, -0.0142706465f, 0.0059255413f, -0.011581913f, 0.00035760924f,
    0.0021601259f, -0.0091608f, 0.015598512f, -0.031537242f, -0.005611025f, -0.004302971f, -0.003332252f,
    -0.0154639715f, -0.00014716906f, 0.012251118f, 0.015936388f, -0.016314972f, -0.00056876964f, 0.00629659f,
    0.0027116893f, -0.0068598306f, -0.010917942f, 0.016796669f, -0.008808237f, 0.005800328f, 0.0036422994f,
    0.0008813406f, -0.013069111f, -0.007063686f, -0.0016421619f, -0.009714682f, -0.01030844f, 0.006472792f,
    -0.0019061493f, 0.0071665095f, -0.020001892f, -0.024096578f, 0.0021942286f, -0.016988605f, 0.01309424f,
    -0.016612947f,
};
ALIGNED static const float W_hh[1024] = {
    -0.0054607284f, -0.0063017807f, -0.006346501f, 0.009746645f, 0.002098425f, 0.00029889858f, 0.01709235f,
    -0.007257586f, -0.0077353716f, 0.005962142f, -0.012504188f, 0.011455933f, 0.0073934183f, 0.01253198f,
    -0.004445231f, 0.00818452f, -0.008180162f, 0.0036031606f, -0.016146114f, -0.024733614f, 0.00036155785f,
    -0.0034221795f, -0.0038169234f, -0.0005687851f, 0.008436175f, 0.0068287384f, 0.033943955f, -0.016687779f,
    0.005108586f, -0.0028598506f, 0.0033505177f, 0.011719372f, 0.012955021f, 0.008908616f, -0.00489848f,
    -0.011726573f, -0.006870454f, -0.023348581f, 0.00094040844f, -0.0020208217f, -0.0005952414f, 0.020118417f,
    -0.003367917f, 0.0032598032f, 0.0053520193f, 0.019732894f, -0.0020751094f, -0.0003057454f, 0.0012672815f,
    5.5465636e-05f, 0.00794336f, 0.004071536f, -0.003609022f, 0.013102548f, -0.009650527f, 0.008806114f,
    -0.0010247438f, -0.0067701004f, -0.0041066078f, -0.016185554f, 0.005079081f, 0.023229541f, 0.0022977532f,
    -0.0052965246f, -0.008733067f, 4.2614196e-05f, -0.012578867f, -0.010844665f, 0.0075297942f, 0.0032364773f,
    -0.0027501f, 0.013056118f, 0.002117518f, 0.002719623f, -0.009268431f, -0.027330002f, -0.005641737f,
    -0.0027399962f, 0.0013978058f, 0.00508562f, 0.0027709971f, -0.009812496f, 0.008888465f, 0.015689952f,
    -0.0008185262f, -0.003494001f, 0.0020242652f, -0.002883834f, 0.001482976f, 0.024187312f, 0.013278693f,
    -0.0026386022f, 0.0036446592f, 0.025440164f, -0.026894672f, 0.02442609f, 0.000103748745f, -0.009964887f,
    0.009785003f, -0.0044143954f, -0.0026104334f, 0.007979768f, -0.0110714445f, 0.023305753f, -0.0076501756f,
    -0.004749674f, -0.004952565f, -0.001983605f, 0.022148795f, -0.0013668862f, -0.010181608f, 0.001784054f,
    -0.0051358575f, -0.0056442884f, -0.009183681f, -0.007495636f, -0.00094932946f, 0.011008662f, 0.013104606f,
    -0.002928453f, -0.007883442f, -0.0016952126f, -0.021748615f, 0.007202474f, 0.0028544615f, 0.002290301f,
    0.01283269f, -0.013792051f, 0.0054075657f, -0.0094780745f, 0.0020214394f, -0.0035074826f, 0.0054500527f,
    0.015412107f, 0.006002392f, -0.0033801517f, 0.004046629f, 0.008931288f, -0.014540909f, 0.011874934f,
    -0.0029952344f, 0.022963183f, 0.0033054564f, 0.021747679f, -0.012459529f, 0.024966132f, -0.0070688296f,
    0.011504485f, -0.005497671f, 0.008155179f, 0.02000545f, -0.0043934747f, -0.00431898f, -0.0047292863f,
    0.0032564097f, -0.009736213f, 0.007978925f, -0.0057330043f, 0.002060495f, 0.0021373623f, 0.009543961f,
    0.007330627f, -0.014552098f, -0.020457976f, -0.0017707498f, 0.0062404787f, -0.016889099f, 0.008175789f,
    -0.0038959736f, 0.012776107f, 0.0051468145f, 0.003485174f, -0.010378724f, -0.009586869f, 0.009181744f,
    0.0048879734f, 0.009839283f, 0.009961358f, -0.011657719f, -0.00585371f, -0.0018619273f, -0.012374421f,
    0.011838981f, -0.0019545401f, -0.013366088f, 0.010511319f, -0.010269342f, -0.0028749546f, 0.018479731f,
    -0.02394956f, 0.004076978f, -0.001698859f, 0.005841776f, 0.010504306f, 0.01285579f, -0.016165197f,
    -0.0076896236f, -0.012204618f, 0.005731281f, 0.006991968f, 0.0025105572f, 0.0027845174f, -0.00094634056f,
    0.016104328f, -0.0012166494f, -0.013941331f, -0.009047872f, -0.003466989f, 0.0070493645f, 0.0003054458f,
    -0.008542383f, 0.0053881845f, -0.0052649f, -0.013320408f, 0.015451377f, 0.00408626f, -0.020546427f,
    0.005259053f, 0.005994642f, -0.0040781903f, 0.0045302324f, -0.0039178934f, 0.021403499f, -0.0020620266f,
    -0.0009838856f, 0.0048546717f, 0.007075708f, 0.00043065063f, -0.0043943794f, -0.006761147f, 0.01738886f,
    -0.009422927f, -0.010646462f, -0.0022970922f, -0.012564038f, 0.0055701295f, 0.0015761475f, 0.010270689f,
    0.012292814f, -1.2231326e-05f, -0.018095452f, 0.00692564f, 0.0119821355f, 0.013166901f, -0.0034832263f,
    0.012075035f, -0.006478289f, 0.0052652475f, -0.009507916f, -0.021455783f, 0.0038271036f, -0.0040974617f,
    -0.007386033f, 0.016552757f, 0.005203718f, -0.0023261602f, 0.0049741664f, 0.0026852223f, 0.014768786f,
    0.0035479506f, 0.016247084f, 0.0059342254f, -0.017254114f, -0.006220156f, -6.249401e-05f, 0.008951973f,
    -7.699869e-05f, 0.0004517162f, 0.005793445f, -0.015825188f, -0.005877922f, -0.0011398256f, 0.007014375f,
    -0.005556062f, -0.003816933f, -0.00044244115f, 0.005195825f, 0.0076008067f, -0.01029267f, -0.01250405f,
    -0.0011369367f, -0.006140207f, 0.008530077f, 0.0015509826f, 0.011059222f, 0.010944528f, 0.0057027303f,
    0.0077636587f, -0.013568335f, -0.0076539507f, -0.0020902625f, -0.002651833f, -0.007778549f, 0.014072338f,
    -0.029776642f, -0.0014418237f, -0.008499268f, -0.002978319f, 0.021292508f, 0.005027325f, -0.0088709f,
    0.019974163f, -0.01698376f, -0.0067200456f, -0.007617099f, -0.019145386f, -0.011217594f, -0.006035579f,
    -0.024189696f, -0.009170434f, 0.007018369f, -0.007560975f, 0.0037634694f, 0.011279659f, 0.00021896533f,
    0.014937311f, -0.02192591f, -0.0010906641f, -0.015689645f, 0.005581149f, -0.010654696f, 0.004025776f,
    -0.0040524164f, -0.0058336616f, -0.0025852257f, -0.0060555944f, -0.0018824228f, 0.009596067f,
    0.0068000928f, -0.007692208f, -0.000728836f, -0.01443346f, -0.012622582f, 0.005881808f, -0.00876556f,
    -0.010352659f, -0.012152215f, -0.0016962761f, 0.005822805f, 0.01889708f, 0.0027074846f, 0.0073014474f,
    -0.012801202f, -0.0035817935f, -0.00061259407f, 0.013390552f, -0.010588995f, 0.004159275f, -0.0078011933f,
    -0.0002442266f, -0.009445182f, 0.000760863f, 0.031146172f, -0.008107677f, -0.011052082f, -0.007233065f,
    0.007882314f, 0.013645268f, 0.0037365134f, -0.010004339f, 1.5595388e-05f, -0.0013155888f, 0.0010314853f,
    -0.0036979408f, -0.007115957f, -0.0012029962f, 0.012383082f, 0.0019852312f, -0.007985084f, 0.002760488f,
    0.0009818905f, 0.024820918f, -0.012006736f, 0.010209575f, -0.0038697172f, -0.0005688848f, -0.002734446f,
    -0.00061053835f, 0.005320888f, -0.008971833f, -0.01301656f, -0.013728253f, 0.016909324f, -0.004621997f,
    0.0020358507f, -0.010328286f, 0.011304808f, -0.005703013f, -0.02100938f, 0.0038992248f, 0.0008734349f,
    -0.008573598f, -0.0027461606f, 0.004432121f, 0.009591097f, 0.013319531f, 0.0077331117f, 0.030566968f,
    -0.024878029f, -0.016961748f, -0.00050967396f, 0.013925688f, 0.022975422f, 0.005272547f, 0.0015138192f,
    0.005188244f, -0.0058962093f, 0.010006802f, -0.013174312f, 5.6001856e-05f, 0.0056788307f, -0.014192033f,
    -0.0032263433f, 0.0016012698f, -0.014835623f, 0.008233741f, 0.010166344f, 0.012867535f, 0.020820078f,
    0.0011674309f, -0.0014822921f, 0.008930536f, -0.007618318f, -0.015387881f, -0.017845647f, 0.0069548856f,
    -0.024561942f, 0.00020697416f, -0.0012531797f, 0.016862392f, 0.022762388f, -0.009567829f, 0.0071448344f,
    0.008444554f, 0.0006993348f, 6.2331004e-05f, -0.014055301f, 0.0011945226f, -0.003312212f, -0.008407352f,
    0.0046111816f, 0.0061596725f, -0.002190379f, -0.0024066502f, -0.0062509566f, 0.008161492f, -0.005710692f,
    -0.0011945282f, -0.004273608f, 0.00814325f, -0.014120763f, -0.000997737f, 0.00074936193f, 0.005903223f,
    0.003985564f, -0.0063589057f, -0.0035385387f, -0.010989977f, -0.02054349f, -0.0008066243f,
    -5.3533827e-06f, -0.011454397f, 0.020060811f, -0.0017704833f, -0.015146696f, 0.010749552f, 0.0005076494f,
    -0.016557438f, -0.0046148812f, 0.0003807703f, -0.013240482f, 0.0055482653f, -0.0072272625f, 0.021221153f,
    0.000499646f, 0.0045212754f, 0.008145699f, -0.0013941883f, -0.0036767041f, -0.004573546f, -0.012945498f,
    0.007011869f, -0.019097658f, 0.010538135f, -0.010473068f, 0.0022511538f, 0.006798328f, 0.0052886754f,
    0.003542244f, 0.005805201f, 0.00036902033f, 0.0062302575f, 0.008397579f, -0.008819846f, 0.009650451f,
    0.008688326f, 0.008879847f, -0.009247846f, 0.0032409646f, -0.008189603f, 0.0036241757f, 0.0022211487f,
    0.0027903174f, -0.0031517341f, -0.004010358f, 0.002157178f, 0.012853788f, -0.010385949f, -0.016339619f,
    0.0053742668f, 0.0108261295f, -0.017104683f, -0.010840825f, -0.0012873806f, -0.0068107727f, -0.01309896f,
    0.0066026924f, -0.014120628f, 0.01834581f, 0.0045619486f, 0.0027498864f, 0.0019927996f, 0.0010911346f,
    -0.008429984f, 0.0060516964f, 0.013176558f, 0.010710048f, -0.012217151f, 0.00628865f, 0.010134177f,
    -0.007994328f, -0.0012566828f, 0.006759259f, 0.008625015f, 0.017967967f, -0.015077321f, 0.0007274993f,
    -0.022924908f, 0.0053712544f, 0.006816826f, -0.014963339f, -0.009824753f, 0.007183938f, 0.004402119f,
    -0.0056190346f, 0.006639502f, -0.021033252f, 0.008777171f, -0.002371885f, 0.015657252f, -0.011442709f,
    -0.0266332f, 0.02124525f, 0.013875089f, 0.008115344f, 0.0016292265f, -0.0067186896f, -0.016928481f,
    -0.010749267f, 0.008543414f, -0.0059145154f, 0.0042445995f, -0.012401215f, -0.00070671906f,
    -0.0006320032f, 0.0059197308f, -0.004455608f, -0.012189804f, -0.015511509f, 0.0047238404f, -0.027393507f,
    0.0002588158f, -0.0019623695f, -0.007820572f, -0.021407032f, 0.0033373928f, -0.011229814f, 0.0062096873f,
    -0.008763944f, -0.017740026f, -0.008103759f, -0.01475962f, 0.0066702478f, 0.0066880384f, -0.00075194676f,
    0.001643014f, 0.00027500326f, 0.0058131535f, 0.0023498414f, 0.0107167065f, -0.005228656f, -0.0072129015f,
    -0.002058041f, -0.008087672f, 0.0046466226f, 0.0039148037f, -0.013406036f, 0.007596459f, 0.007287923f,
    -0.00066735386f, 0.005558985f, -0.014076214f, 0.0011062733f, 0.0003518813f, -0.005645585f, 0.00915884f,
    0.00298982f, 0.0017709148f, -0.0034392425f, 0.0022910147f, 0.0043660593f, 0.0027018043f, -0.002002214f,
    0.010184194f, -0.004169326f, -0.00030777729f, -0.009846042f, 0.0020237742f, 0.004156267f, -0.012037148f,
    -0.0013329866f, -0.0029340624f, 0.004648942f, 0.0057624867f, -0.00057778106f, 0.0117152855f,
    -0.015184962f, 0.00047528645f, -0.000103142185f, 0.014353469f, 0.002517508f, 0.0074082273f, -0.010981501f,
    0.0015478937f, -0.01398876f, 0.00040803835f, -0.0111742f, 0.0070294314f, -0.006674765f, 0.0012538228f,
    0.0040471028f, -0.0065493244f, 0.0005212422f, 0.0034005542f, -0.0021241626f, 0.015629165f, -0.00907159f,
    -0.015661852f, 0.0004854765f, 0.009935044f, 0.02117972f, -0.001827105f, -0.007768455f, 0.017764267f,
    -0.005032784f, 0.00056575926f, -0.005480874f, -0.0069173267f, -0.0065594683f, 0.006949255f,
    -0.0046705864f, -0.001679542f, 0.007584736f, 0.0118806455f, -0.0063046142f, -0.0006540572f, 0.00618795f,
    0.020019611f, 0.0029523792f, 0.0053137573f, -0.005227045f, 0.0009947815f, -0.001168826f, 0.0037282354f,
    -0.010210976f, 0.010794656f, 0.01146906f, -0.0017329216f, 0.0006371202f, -0.0126991635f, -0.006211707f,
    -0.0023807597f, 0.0008920656f, 0.018007522f, -0.020626597f, 0.0032217002f, -0.011390373f, 0.012417962f,
    -0.015186554f, 0.012005079f, -0.0044513512f, 0.00049678376f, -0.0017359501f, 0.0076698386f, 0.006180218f,
    0.02789912f, 0.0043252534f, 0.021304455f, 0.025500085f, 0.0029925208f, -0.0058373045f, 0.0032548308f,
    0.0013325352f, 0.0012488337f, -0.014959593f, 0.0001823124f, 0.0034559958f, 0.00031206096f, 0.0040039043f,
    0.0042576296f, 0.008395171f, 0.012389448f, 0.005239061f, -0.016583716f, 0.005483349f, -0.01398321f,
    -0.019764142f, 0.012324905f, -0.0054557514f, -0.00069413893f, 0.007322447f, -0.00150333f, -0.0070713228f,
    0.004674973f, 0.002786775f, 0.013356786f, 0.011553125f, -0.0005629798f, 0.004306151f, -0.00932645f,
    -0.015053189f, 0.0010331708f, 0.015215785f, 0.0036549733f, 0.0142892795f, 0.0036433311f, 0.016837766f,
    0.010106316f, 0.006218946f, 0.022847008f, 0.015749048f, -0.0031051354f, 0.014957236f, 0.010033702f,
    -0.014374816f, 0.00043097342f, -0.016455464f, -0.014646426f, 0.0035013866f, -0.0010590545f, -0.007404946f,
    0.011576905f, 0.014433768f, 0.0019839893f, -0.011051797f, -0.02037115f, 0.021287674f, -0.0020445702f,
    0.004684641f, 0.012036285f, 0.0031353876f, 0.015853344f, 0.008790557f, 0.027500115f, -0.0052031255f,
    -0.022907883f, -0.009653484f, -0.018938605f, -0.0034591535f, 0.0062019923f, 0.0069224704f, 0.0074496977f,
    -0.009299769f, -0.0068485276f, 0.0063001555f, 0.019448068f, 0.00388372f, 0.008845713f, -0.011058003f,
    -0.011974032f, 0.014019585f, 0.0049731196f, 0.0067991684f, 0.011085395f, 0.008064957f, -0.0015343816f,
    -0.0027452987f, 0.002855151f, 0.010041053f, -0.011813147f, 0.016744893f, -0.01793426f, -0.012958501f,
    -0.008070517f, 0.021192297f, 0.0035834324f, 0.003451473f, -0.0018559814f, -0.0015892123f, 0.012183373f,
    -0.011200173f, -0.0045884354f, -0.0129298875f, 0.010784022f, 0.001163727f, 0.0026902612f, -0.018818876f,
    -0.0054570255f, 0.0022222234f, -0.0028868637f, 0.006692926f, 0.014944887f, 0.0002431708f, -0.004978142f,
    0.007378293f, 0.01276276f, -0.0015469065f, -0.0028456813f, -0.006296439f, -0.002485597f, 0.008056542f,
    -0.011018785f, -0.0074082594f, 0.008240771f, -0.009503345f, 0.00659333f, -0.0068629053f, -0.002916592f,
    0.01869919f, -0.011053563f, -0.0014417848f, -0.0034625577f, 0.008223859f, 0.009407207f, -0.02208097f,
    0.004190495f, -0.0024860445f, -0.01345234f, -0.0029988685f, -0.021943f, -0.0030386155f, -0.0020922213f,
    0.006825136f, -0.0012944507f, 0.012142788f, 0.024895083f, -0.0074531035f, -0.017158864f, 0.013672586f,
    0.022012914f, 0.0014083473f, 0.007217471f, 0.014671622f, -0.014540313f, -0.016336756f, -0.0074156905f,
    0.010581072f, -0.0159527f, 0.0062787523f, -0.0154224355f, 0.0021990158f, 0.008785276f, -0.0005441763f,
    -0.0044812444f, 0.01155634f, 0.013168042f, -0.010800693f, -0.0064677745f, 0.011734836f, 0.0039044612f,
    -0.01104988f, 0.0084568765f, -0.0046837693f, -0.0063976925f, 0.00092755177f, 0.012368488f, 0.03022932f,
    -0.0048566666f, 0.0024285535f, -0.0015634625f, -0.016892385f, 0.013340182f, 0.02007833f, -0.0023459324f,
    -0.0107436385f, -0.00801383f, 0.008897751f, -0.002821471f, -0.004710906f, 0.019417651f, 0.0069642793f,
    -0.0057437005f, -0.0096158385f, -0.0022428257f, -0.014099343f, 0.010651279f, 0.0041832365f, 0.00713301f,
    0.0036553782f, -0.008358373f, -0.019481411f, 0.018367404f, -0.0041839266f, -0.0012562148f, -0.01445078f,
    1.9308654e-05f, 0.013103605f, -0.0052574757f, -0.00034136395f, 0.014708159f, 0.022954518f, 0.012093669f,
    0.0005356371f, -0.0037049593f, 0.0026504083f, 0.0016346195f, -0.007515772f, 0.0028527458f, 0.004203893f,
    0.011917719f, -0.0007993883f, 0.012039465f, 0.018988239f, 0.015494729f, 0.0020959473f, 0.0004550034f,
    0.0016272063f, -0.00058489275f, -0.0077861743f, 0.010268588f, 0.006241616f, 0.0029141577f, 0.0055699823f,
    -0.0074697784f, 0.0005945599f, 0.01119074f, 0.0001170169f, 0.00014502172f, -0.0072286963f, -0.0020104088f,
    -0.00866782f, 0.012486879f, -0.008373648f, 0.0022470932f, -0.008438329f, 0.008944582f, 0.002281765f,
    0.0017002297f, 0.007814424f, -0.005328567f, -0.009255814f, -0.0020309312f, 0.0048180795f, 0.004647186f,
    -0.008540258f, -0.015642382f, -0.0015724595f, 0.009396962f, -0.0014913908f, -0.001435869f, 0.037251003f,
    0.01732696f, -0.007422731f, 0.0014464793f, 0.0031730153f, 0.0062980717f, -0.004704444f, 0.002150508f,
    -0.004129931f, -0.018310094f, -0.00033830712f, 0.0036609347f, -0.00023467494f, -0.0045105033f,
    -0.021999989f, 0.014691974f, -0.016804297f, 0.01152527f, 0.018086385f, -0.015669463f, 0.013985728f,
    0.0027512747f, -0.0033359183f, -0.0067776195f, 0.012894601f, 0.0049883006f, -0.0052916156f, 0.0010662004f,
    -0.009719205f, 0.002252612f, -0.006266795f, 0.016608348f, 0.0019960562f, 0.009686866f, -0.0052934787f,
    0.016782504f, -0.008512232f, -0.020529484f, -0.013517825f, -0.0002892201f, 0.0080249f, 0.0026280254f,
    0.0069010924f, 0.0039716433f, 0.005601859f, -0.0010550618f, 0.0027747825f, 0.010479012f, -0.018560214f,
    -0.0073247436f, 0.008716153f, -0.0075898063f, 0.016294517f, -0.023379032f, -0.0027670318f, 0.0025808355f,
    0.0055698785f, 0.015831118f, -0.0043139188f, 0.003798712f, -0.008441673f, -0.00036312692f, 0.0009812069f,
    0.009635644f,
};
ALIGNED static const float W_hq[32] = {
    -0.0077005248f, 0.011733963f, -0.01596074f, 0.008083367f, 0.004165085f, -0.0022593183f, -0.0032170822f,
    -0.017836528f, 0.0046817753f, -0.008873154f, -0.00082730217f, 0.00814225f, 0.027058f, -0.005322308f,
    0.014999704f, -0.01680359f, -0.024878757f, -0.012185979f, -0.002566173f, 0.013972511f, 0.00090167066f,
    0.0008576497f, -0.0044568847f, 0.0035795465f, -0.018706342f, -0.008552055f, 0.010684149f, 0.00096060877f,
    -0.006842528f, 0.003989141f, 0.002578433f, 0.0019901623f,
};
ALIGNED static const float b_q[16] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};

#if defined(PLAIN_LOOPS) || (!defined(__GNUC__) && !defined(__clang__))
#define VARIANT plain /* no vectors: one number at a time */
#define TARGET
#define LANES 1
#define REGISTERS 4
#include FILE_NAME
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && !RNN_SCRATCH_SMALL
#define VARIANT avx512
#define TARGET
#define LANES 16
#define REGISTERS 24
#include FILE_NAME
#elif defined(__AVX2__) && defined(__FMA__) && !RNN_SCRATCH_SMALL
#define VARIANT avx2
#define TARGET
#define LANES 8
#define REGISTERS 12
#include FILE_NAME
#else
#define VARIANT base /* SSE2, NEON or what there is */
#define TARGET
#define LANES 4
#define REGISTERS 8
#include FILE_NAME
#if defined(__x86_64__) && !RNN_SCRATCH_SMALL
#define CHOOSES
#ifndef ALLOWED
#define ALLOWED(lanes) 1 /* for tests: which kinds of processor may be chosen */
#endif
#undef VARIANT
#undef TARGET
#undef LANES
#undef REGISTERS
#define VARIANT avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define REGISTERS 12
#include FILE_NAME
#undef VARIANT
#undef TARGET
#undef LANES
#undef REGISTERS
#define VARIANT avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma")))
#define LANES 16
#define REGISTERS 24
#include FILE_NAME
#endif
#endif

void rnn_scratch_run(size_t steps, size_t batch, const float *inputs, const float *state_in, float *outputs,
        float *state_out)
{
    rnn_scratch_run_rows(0, batch, steps, batch, inputs, state_in, outputs, state_out);
}

void rnn_scratch_run_rows(size_t first, size_t rows, size_t steps, size_t batch, const float *inputs,
        const float *state_in, float *outputs, float *state_out)
{
    const struct call call = {steps, batch, inputs, state_in, outputs, state_out};
#ifdef CHOOSES
    if (ALLOWED(16) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        JOIN_(run_all, avx512)(&call, first, first + rows);
    else if (ALLOWED(8) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        JOIN_(run_all, avx2)(&call, first, first + rows);
    else
        JOIN_(run_all, base)(&call, first, first + rows);
#else
    run_all(&call, first, first + rows);
#endif
}

void rnn_scratch_initial_state(size_t batch, float *state)
{
    memset(state, 0, batch * RNN_SCRATCH_STATE_SIZE * sizeof *state);
}

const char *rnn_scratch_version(void)
{
    return "rnn_scratch, rnn-export 0.1.0";
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#else /* what is compiled for each kind of processor */

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
/* Copy rows of a buffer to where no row of these is, in whole vectors: a load that is wider than the store before it
   would wait for the store. */
INLINE void hand_on(float *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i += LANES) store(to + i, load(from + i));
}
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

/* H = tanh(inputs W_xh + H W_hh + b_h) */
INLINE void H_tile(const int rows, const int each, const int panel, const float *b_h_j, const float *inputs,
        const float *W_xh_j, size_t inputs_row, const float *H, const float *W_hh_j, float *to_H)
{
    vec sum[TALLEST][8];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < each; v++)
            sum[r][v] = load(b_h_j + v * LANES);
    add_gates(rows, 1, each, panel, 4, INPUTS_SIZE, inputs, inputs_row, W_xh_j, sum);
    add_gates(rows, 1, each, panel, 4, H_SIZE, H, H_ROW, W_hh_j, sum);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int u = 0; u < each; u++) {
            const vec next_H = vtanh(sum[r][u]);
            store(to_H + r * H_ROW + u * LANES, next_H);
        }
}

INLINE void walk(const struct call *c, size_t row, const size_t rows, size_t steps)
{
    ALIGNED float H[2 * SLOTS * H_ROW + PAD];
    size_t last = 0; /* the slot from which on the state stands in the end */
    /* The state at the beginning. */
    for (size_t i = 0; i < rows; i++) {
        memcpy(H + i * H_ROW, c->state_in + (row + i) * H_SIZE, H_SIZE * sizeof(float));
    }
    ALIGNED float inputs_copy[SLOTS * INPUTS_ROW + PAD];
    ALIGNED float outputs[SLOTS * OUTPUTS_ROW + PAD];
    const size_t most = (rows <= FEW ? FEW_SLOTS : SLOTS) / rows; /* time steps of a block */
    for (size_t begin = 0, count; begin < steps; begin += count) {
        count = SLOTS == 1 || steps - begin > most ? most : steps - begin;
        const size_t slots = count * rows;
        /* Rows that stand evenly spaced are read where the caller has them, others are copied. */
        const int inputs_evenly = rows == 1 || rows == c->batch;
        const float *inputs = inputs_evenly ? c->inputs + (begin * c->batch + row) * INPUTS_SIZE : inputs_copy;
        const size_t inputs_row = !inputs_evenly ? INPUTS_ROW : rows == 1 ? c->batch * INPUTS_SIZE : INPUTS_SIZE;
        if (!inputs_evenly)
            for (size_t s = 0; s < count; s++)
                for (size_t i = 0; i < rows; i++) {
                    const size_t t = begin + s, slot = s * rows + i;
                    memcpy(inputs_copy + slot * INPUTS_ROW,
                            c->inputs + (t * c->batch + row + i) * INPUTS_SIZE, INPUTS_SIZE * sizeof(float));
                }
        /* One time step after the other:
           H = tanh(inputs W_xh + H W_hh + b_h) */
        for (size_t at = 0; at < slots; at += rows) {
            for (int j = 0; j < H_SIZE; j += 2 * LANES)
                TILES(8, rows, H_tile, 2, 32, b_h + j, inputs + (at + i) * inputs_row, PANEL(W_xh, j, 32,
                        INPUTS_SIZE), inputs_row, H + (at + i) * H_ROW, PANEL(W_hh, j, 32, H_SIZE),
                        H + (at + i + rows) * H_ROW + j)
        }
        /* outputs = H W_hq + b_q */
        dot(slots, H_SIZE, OUTPUTS_SIZE, H + rows * H_ROW, H_ROW, W_hq, b_q, outputs, OUTPUTS_ROW);
        for (size_t s = 0; s < count; s++)
            for (size_t i = 0; i < rows; i++) {
                const size_t t = begin + s, slot = s * rows + i;
                c->outputs[t * c->batch + row + i] = outputs[slot * OUTPUTS_ROW];
            }
        last = slots;
        if (begin + count == steps) break;
        /* The next block begins with the last state of this one. */
        hand_on(H, H + slots * H_ROW, rows * H_ROW);
    }
    /* The state at the end. */
    for (size_t i = 0; i < rows; i++) {
        memmove(c->state_out + (row + i) * H_SIZE, H + (last + i) * H_ROW, H_SIZE * sizeof(float));
    }
}

/* A row alone has a copy of its own, and so has its time step alone: it waits for nothing but the state. */
APART TARGET static void run_step(const struct call *c, size_t row) { walk(c, row, 1, 1); }

APART TARGET static void run_row(const struct call *c, size_t row) { walk(c, row, 1, c->steps); }

APART TARGET static void run_rows(const struct call *c, size_t row, size_t rows) { walk(c, row, rows, c->steps); }

/* Run blocks of rows that are as equal in size as can be. */
APART TARGET static void run_all(const struct call *c, size_t row, size_t end)
{
    const size_t blocks = (end - row + SLOTS - 1) / SLOTS;
    const size_t most = blocks ? (end - row + blocks - 1) / blocks : 1;
    for (size_t rows; row < end; row += rows) {
        rows = end - row < most ? end - row : most;
        if (LANES > 4 && rows == 1 && c->steps == 1)
            run_step(c, row);
        else if (SLOTS == 1 || (LANES > 4 && rows == 1))
            run_row(c, row);
        else
            run_rows(c, row, rows);
    }
}
#endif
