"""The words that the naming rules know: what shows a thing without being one, is often misread, belongs together."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split(","))


GROUPS: Final = _words(
    """array batch bevy brood bunch clan cluster collection colony convoy couple crew crowd dozen dozens flock gaggle
    gang group handful herd horde hundred hundreds line litter lot lots majority mob multitude murder number pack pair
    parade pod pride procession quartet queue range row school series set sets squad stack swarm team thousand thousands
    trio troop troupe variety"""
)
"""Many of what follows their "of"."""

COUNTS: Final = _words(
    """array batch bevy bunch collection dozen dozens handful hundred hundreds line lot lots majority multitude number
    pair queue range row series set sets stack thousand thousands variety"""
)
"""Groups that say nothing without an "of"; a couple, a crowd or a herd is seen for itself."""

PORTIONS: Final = _words(
    """back backside base bit bottom chunk close-up closeup corner detail edge end front half heart interior kind inside
    layer middle part piece portion rear rest section side slice sort surface tip top type version"""
)
"""Part, side or kind of what follows their "of"."""

ABSTRACT: Final = _words(
    """abstract action activity adventure aerial afternoon age air ambience angle animation area art atmosphere
    attraction audio autumn b-roll backdrop background beauty beginning birthday broll business camera-work
    celebration center centre ceremony christmas cinematic circa clip close-up closeup collage color colour
    compilation composition concept content conversation copy culture dark darkness dawn day daylight daytime
    depth destination detail direction distance dusk effect emotion energy environment episode evening event
    example exposure fall fashion feeling festival film flight focus footage foreground format fps frame freedom
    front fun fundamental game gif glimpse graphic graphics habitat happiness hd hdr health holiday hour idea
    illustration image interaction introduction job journey joy landscape left leisure life lifestyle location
    look loop love luxury macro match meeting minute moment montage month mood morning motion motion-graphics
    movement movie music nature night noon overview pace panning panorama party past people-watching performance
    perspective photo photograph photography picture place portion portrait position pov preparation presence
    presentation process progress prores rear reel render rendering resolution right ritual routine rush scene
    scenery scenic science screen season second selfie sequence set setting shape shot show side sight silence
    silhouette sky-view slow-mo slowmo snapshot song sound space speech speed sport sports spring start stock
    story style success summer sundown sunrise sunset surroundings symbol take technique technology template
    text texture theme thing time time-lapse timelapse tour tourism track tracking training transition travel
    trip tutorial twilight uhd unison vacation variety vibe video videography view viewer viewpoint visual vlog
    way weather week weekend winter work world year yesterday zoom"""
)
"""What a video has, or is, or happens at: never its subject. With an "of", seen through to what follows."""

DEFINITE_ONLY: Final = _words("camera cameraman photographer videographer audience lens")
"""Behind the picture when they are "the camera", in it when they are "a camera"."""

MODIFIERS: Final = _words(
    """adult amber autumn beige black blue brass brick bronze brown cartoon caucasian cement close-up concrete
    copper cotton crystal day elderly evening fall female glass gold gray green grey human iron leather male
    marble maroon metal midnight morning navy night orange outdoor paper pink plastic porcelain purple red
    senior silk silver spring steel stone summer sunset teal teen teenage titanium toddler turquoise velvet
    violet white winter wood wool yellow"""
)
"""Nouns that say of what colour, stuff, age or time the next noun is; they are no part of its name."""

PEOPLE: Final = {"people": "person", "persons": "person", "folk": "person", "folks": "person", "mankind": "person"}
"""Words for many whose lemma is another word."""

ONE_IN_PLURAL: Final = _words(
    """binoculars briefs clippers glasses goggles headphones jeans leggings pajamas pants pliers pyjamas scissors shears
    shorts sunglasses tights tongs trousers tweezers"""
)
"""One thing whose word is a plural."""

MANY: Final = _words("both dozens few hundreds many multiple numerous several some these those various")
ONE: Final = _words("a an another each every one this that 1")

COMPOUNDS: Final = _names(
    """african elephant, air balloon, alpine goat, arctic fox, bald eagle, basset hound, beach ball, bearded dragon,
    big wheel, black bear, border collie, brown bear, bull terrier, christmas tree, cocker spaniel, convertible car,
    disco ball, double decker, double decker bus, electric car, electric guitar, ferris wheel, fire engine, fire truck,
    flying fish, flying saucer, french bulldog, french fry, french horn, german shepherd, giant tortoise, gold fish,
    golden eagle, golden retriever, great dane, grizzly bear, grand piano, guinea pig, hermit crab, high heel, hot air
    balloon, hot dog, ice cream, ice cube, jack russell, jumping spider, killer whale, komodo dragon, ladybug, living
    room, merry go round, monarch butterfly, mountain bike, mountain goat, polar bear, praying mantis, rag doll, red
    panda, remote control, rocking chair, rocking horse, roller coaster, rubber duck, scottish fold, sea lion, sea
    turtle, sewing machine, shar pei, shooting star, siberian husky, snow leopard, sports car, sperm whale, stuffed
    animal, swimming pool, swiss army knife, tabby cat, tasmanian devil, teddy bear, tennis ball, traffic light,
    vacuum cleaner, vending machine, washing machine, water buffalo, water wheel, welsh corgi, wild boar, yorkshire
    terrier, dining table, dining room, drinking fountain, frying pan, parking meter, racing car, sailing boat,
    walking stick, wedding dress, weeping willow, wind turbine"""
)
"""Names of more than one word whose first word is no noun, or that is often torn apart."""

DOING: Final = _words(
    """appear approach arch arrive attack bake bark bathe beg bend blink bloom blow boil bounce bow break
    breathe bring browse brush buck build burn burst buzz carve catch change chase chat check cheer chew chirp
    chop circle clap clean climb close collapse comb come comfort commute cook cough cower crash crawl
    creep croak cross crouch cruise cry curl cycle dance dangle dash decorate deliver demonstrate descend
    dig dip disappear dive do drag draw drift drink drip drive drool drop dry dunk eat embrace emerge
    enjoy enter erupt escape examine exercise explain explode explore fall feed fetch fight fix flap flee
    flick flicker flip float flow flutter fly fold follow freeze gallop gargle gather gaze get give glide glow
    go grab graze greet grill grin grind grow growl hang hatch heave help hide hiss hold honk hop hover
    howl hug hunt hurry inspect jog juggle jump keep kick kiss knit land lap laugh lay lead lean leap leave lick
    lie lift listen loom lower make march massage meditate meet melt mend meow mix moan moo move mow munch nap
    neigh nibble nod nuzzle open operate orbit paddle paint pan pant parade pass paw peck pedal peek peel perch
    perform pet pick pirouette play pluck plunge poke pop pose pounce pour practice prance pray preen prepare
    present prowl prune pull purr push put race raise rappel rattle reach read relax rest reverse ride rip
    rise roam roar roast roll rotate row rub run rush sail salute scamper scratch scream screech scurry serve
    set sew shake sharpen shave shift shine shiver shoot shout sigh sing sip sit sizzle skate skateboard
    sketch ski skid skip slam sled sleep slice slide slither smash smell smile smoke snap snarl sneak sneeze
    sniff snore snorkel snow snowboard soar solve speak speed spin spit splash spray sprint squat squeak
    squeeze stalk stamp stand stare start steal step stir stitch stop stretch strike stroll struggle strut surf
    surface sway sweat sweep swim swing swirl take talk tap taste teach tease throw tie tilt toss
    travel trek tremble trim trot trundle try tumble turn twirl twist type unwrap use vault visit
    wade wag wait wake walk waltz wander wash watch wave wear weave weep welcome whistle wiggle wind wink wipe
    wobble work wrestle write yawn yell yelp zoom"""
)
"""Verbs that captions use of a subject; where a parser reads one as a noun, the noun before it is the subject."""

NOT_DOING: Final = _words(
    """arms awning building carving ceiling clothing crossing drawing earring evening gas glass glasses goods headphones
    jeans king landing mathematics morning news opening pants painting railing ring shorts sports spring string
    sunglasses wedding wing"""
)
"""Words behind a noun that are no verbs, though they end like one."""

ENGLISH: Final = _words(
    """a an the and or of in on at by to from with without over under into onto through across along near behind beside
    before after around past during while as is are was were be being been has have had does do his her its their my our
    this that these those there who which it he she they we you i not up down out off for"""
)
FOREIGN: Final = _words(
    """un une le la les des du dans sur avec et est qui au aux sous pour par el los las del una uno y en con por para su
    que es está der die das ein eine einen einem einer und mit auf dem den im ist durch von zu bei nicht il lo gli di
    della nel sulla che e è per da do dos na no nas nos um uma com het een op van voor zijn och på i med som det ett av
    er og til af på w z na się jest ve bir ile ja on"""
) - _words("i do no on a an per en die est as")
"""Little words of English, and of the languages that captions may be in besides."""
