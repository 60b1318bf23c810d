/* plant.h - mistakes that tests plant. Spec 14.2 says what each does to the toy's values.
 *
 * Only in an archive built with -DDS_PLANT (make PLANT=1) can a mistake be chosen, at run time, by its number;
 * elsewhere PLANTED() is the constant 0 and the compiler drops it. test/plant.sh tries them all. */
#ifndef DS_PLANT_H
#define DS_PLANT_H

typedef enum Plant
{
    PLANT_NONE,
    PLANT_EPS_1E5,         /* SAM's LayerNorm with eps 1e-5 */
    PLANT_TANH_GELU,       /* SAM's GELU by tanh */
    PLANT_PADDING_EARLY,   /* windows padded before norm1 */
    PLANT_Q_SCALED,        /* q scaled before the relative positions */
    PLANT_REL_SIGN,        /* u - y in place of y - u */
    PLANT_REL_SWAPPED,     /* rel_pos_h and rel_pos_w swapped */
    PLANT_QKV_TRIPLES,     /* qkv rows as q, k, v per head */
    PLANT_BGR,             /* blue first */
    PLANT_POS_075,         /* pos_embed resized with a = -0.75 */
    PLANT_REL_MIDDLE,      /* rel_pos cut out of the middle, not resized */
    PLANT_CAUSAL,          /* the encoder plainly causal */
    PLANT_BIDIRECTIONAL,   /* queries see all queries, image rows the queries */
    PLANT_IMAGE_SEES_ALL,  /* image rows the queries, and no more than that */
    PLANT_QUERIES_SEE_ALL, /* queries all queries, and no more than that */
    PLANT_QUERY_POSITIONS, /* queries count from 0 again */
    PLANT_PAIRS,           /* rope on neighbours */
    PLANT_KV_MODULO,       /* key head h % kv_heads */
    PLANT_NO_FINAL_NORM,   /* encoder without its final norm */
    PLANT_ENCODER_THETA,   /* 1e4 */
    PLANT_FIRST_ROWS,      /* the image's rows kept, not the queries' */
    PLANT_COLUMN_MAJOR,    /* SAM's tokens column by column */
    PLANT_RENORMALISED,    /* router weights made to sum to one */
    PLANT_DECODER_THETA,   /* 1e6 */
    PLANT_NO_SHARED,       /* no shared experts */
    PLANT_PADDING_MASKED,  /* a window's padding masked out */
    PLANT_TILES_COLUMNS,   /* crops column by column */
    PLANT_WHOLE_FIRST,     /* the whole page's view before the crops */
    PLANT_SEPARATOR_EARLY, /* between the crops' rows and the whole page's */
    PLANT_PROMPT_ORDER,    /* the image after the prompt's text; seen by prompt_test */
    PLANT_COUNT
} Plant;

#ifdef DS_PLANT
extern int ds_planted;
#define PLANTED(which) (ds_planted == (which))
#else
#define PLANTED(which) 0
#endif

#endif
