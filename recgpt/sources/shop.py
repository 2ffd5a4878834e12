"""What the demo shop sells: plausible products of invented brands, by category.

Data and one function. `catalogue(seed)` puts titles together from these lists; nothing here knows of users. No brand
is meant to be a real one, and no category is anybody's interest as such: any may be a gift or a necessity.
"""

import random
from dataclasses import dataclass
from typing import Final

ITEMS_PER_CATEGORY: Final = 18


@dataclass(frozen=True)
class Category:
    """One leaf of the shop.

    `products` has one product a line: name; prices from-to; modifiers; details. `age` and `women` lean its buyers: 0 is
    no lean, above 0 older people, or women. `season` are the months in which it is mostly bought; none is all year.
    """

    path: str
    brands: tuple[str, str, str, str]
    products: str
    season: tuple[int, ...] = ()
    age: float = 0.0
    women: float = 0.0


@dataclass(frozen=True)
class Item:
    item_id: str
    title: str
    category: int  # index into CATEGORIES
    brand: str
    price: float
    queries: tuple[str, ...]  # what somebody who looks for it might type


CATEGORIES: Final[tuple[Category, ...]] = (
    Category(
        "Sports & Outdoors > Trail running",
        ("Fellrunner", "Corvane", "Stridewell", "Moss & Scree"),
        """
        Trail Running Shoes; 85-165; Waterproof, Lightweight, Cushioned, Wide Fit; Grip Sole, Men's, Women's
        Running Vest; 45-120; Breathable, Ultralight; with Two Flasks, 5 Litres, 12 Litres
        Trail Running Socks; 9-22; Merino, Cushioned, Anti-Blister; Pack of 2, Navy, Size 39-42
        Running Gaiters; 14-30; Lightweight, Debris-Proof; Black, One Size
        Running Headlamp; 25-80; Rechargeable, Bright; 400 Lumen, with Rear Light
        Soft Flask; 10-20; Collapsible, Leakproof; 500 ml, 250 ml
        Running Jacket; 60-160; Waterproof, Windproof, Packable; Men's, Women's, with Hood
        Trail Shorts; 28-65; Quick-Dry, Two-in-One; with Zip Pocket, Black
        Trail Running Poles; 60-140; Carbon, Foldable; 120 cm, Pair
        Running Belt; 15-35; Stretch, Slim; for Phone and Keys, Reflective
        """,
        age=-0.3,
    ),
    Category(
        "Sports & Outdoors > Cycling",
        ("Velodor", "Kettering Cycles", "Pignon", "Rapido Works"),
        """
        Bike Helmet; 35-130; Road, Mountain, Urban; Size M, Matt Black, with Visor
        Floor Pump; 20-60; Steel, High Pressure; with Gauge, 11 Bar
        Cycling Gloves; 15-40; Padded, Winter; Size L, Black
        Bike Light; 15-70; Rechargeable, Bright; Front and Rear, USB-C
        Bicycle Chain; 14-45; 11 Speed, Rust-Resistant; 116 Links, with Quick Link
        Bike Saddle; 25-90; Gel, Leather, Sport; 145 mm, Black
        Inner Tube; 5-12; Puncture-Resistant, Butyl; 28 Inch, Presta Valve, Pack of 2
        Cycling Jersey; 30-85; Long Sleeve, Breathable; Men's, Women's
        Bike Lock; 20-95; Folding, Hardened Steel; with Bracket, 90 cm
        Pannier Bag; 35-110; Waterproof, Quick Release; 20 Litres, Grey
        """,
        women=-0.3,
    ),
    Category(
        "Sports & Outdoors > Yoga",
        ("Asanaya", "Stillpoint", "Lotuswell", "Breathe & Bend"),
        """
        Yoga Mat; 20-75; Non-Slip, Extra Thick, Natural Rubber, Cork; 6 mm, Sage Green, with Carry Strap
        Yoga Block; 9-22; Cork, Foam; Set of 2, Lavender
        Yoga Strap; 7-15; Cotton, Adjustable; 2.4 m, with Metal Ring
        Meditation Cushion; 25-55; Round, Buckwheat; Indigo, Washable Cover
        Yoga Leggings; 25-70; High-Waist, Seamless; Black, Size M
        Yoga Bolster; 30-65; Firm, Organic; Terracotta, Rectangular
        Yoga Wheel; 20-40; Sturdy, Padded; 33 cm, for Backbends
        Yoga Towel; 15-30; Grippy, Microfibre; 183 cm, Teal
        Yoga Mat Bag; 12-35; Canvas, Waxed Cotton; with Pocket, Grey
        Yoga Socks; 8-16; Grippy, Toeless; Pack of 2, One Size
        """,
        women=0.6,
    ),
    Category(
        "Sports & Outdoors > Camping",
        ("Northpitch", "Tarn & Tor", "Emberfield", "Wildhythe"),
        """
        Camping Tent; 90-260; 2-Person, Family, Ultralight; 3 Season, Olive, 1.8 kg
        Sleeping Bag; 45-190; Down, Mummy, Double; 0 Degrees, with Stuff Sack
        Camping Stove; 25-90; Gas, Wood Burning; with Piezo Igniter, Foldable
        Camping Lantern; 15-50; Rechargeable, Hanging; 300 Lumen, Warm Light
        Sleeping Pad; 30-120; Inflatable, Insulated; R-Value 4, with Pump Sack
        Camping Chair; 25-80; Folding, High-Back; with Cup Holder, Forest Green
        Tent Pegs; 6-20; Titanium, Steel; Pack of 10, for Hard Ground
        Camp Cookware; 20-70; Nesting, Aluminium; 4 Pieces, with Lid
        Tarp Shelter; 30-85; Waterproof, Ripstop; 3 x 3 m, with Guy Lines
        Water Canister; 10-30; Foldable, Food-Safe; 10 Litres, with Tap
        """,
        season=(4, 5, 6, 7, 8, 9),
    ),
    Category(
        "Sports & Outdoors > Fishing",
        ("Pikewater", "Lochan", "Angler & Sons", "Reedmere"),
        """
        Fishing Rod; 35-150; Telescopic, Carbon, Spinning; 2.4 m, for Pike and Perch
        Fishing Reel; 25-130; Saltwater, Front Drag; Size 3000, Left Hand
        Fishing Line; 7-25; Braided, Fluorocarbon; 300 m, 0.20 mm
        Fishing Lures; 8-30; Soft, Deep Diving; Pack of 8, Natural Colours
        Tackle Box; 15-50; Compact, Three-Tray; Waterproof, with Dividers
        Landing Net; 18-55; Rubber, Folding; 1.8 m Handle, Fish-Friendly
        Trout Flies; 9-28; Hand-Tied, Dry; Pack of 12, Hook Size 14
        Bite Alarm; 20-80; Wireless, Loud; with Receiver, Blue LED
        Fishing Waders; 50-140; Breathable, Chest; Size 43, Neoprene Feet
        Bait Bucket; 9-25; Aerated, Lidded; 15 Litres, with Insert
        """,
        season=(3, 4, 5, 6, 7, 8, 9, 10),
        age=0.4,
        women=-0.6,
    ),
    Category(
        "Kitchen > Coffee making",
        ("Caffetto", "Brewmark", "Grano & Co", "Morning Forge"),
        """
        Espresso Machine; 140-420; Compact, Dual Boiler; 15 Bar, Stainless Steel
        Coffee Grinder; 45-190; Manual, Burr, Electric; 40 Settings, Steel Burrs
        Pour Over Coffee Dripper; 14-40; Ceramic, Glass; for 4 Cups, with Stand
        French Press; 20-55; Insulated, Glass; 1 Litre, 350 ml
        Milk Frother; 15-90; Handheld, Automatic; for Latte, Black
        Espresso Tamper; 15-50; Calibrated, Flat Base; 58 mm, Walnut Handle
        Coffee Scale; 20-75; Digital, Slim; with Timer, 0.1 g
        Gooseneck Kettle; 35-120; Electric, Stovetop; 900 ml, with Thermometer
        Coffee Filters; 4-12; Unbleached, Paper; Pack of 100, Size 02
        Coffee Beans; 9-28; Arabica, Decaf, Dark Roast; 1 kg, 250 g, from Ethiopia
        """,
    ),
    Category(
        "Kitchen > Baking",
        ("Crumb & Crust", "Ovenaire", "Dough Lane", "Sweetmill"),
        """
        Cake Tin; 9-30; Springform, Round, Bundt; 23 cm, Non-Stick
        Proofing Basket; 12-28; Rattan, Oval; for Sourdough, with Liner
        Rolling Pin; 8-25; Beech, Marble; 40 cm, with Rings
        Piping Nozzles; 10-30; Steel, Russian; 24 Pieces, with Bags
        Cooling Rack; 9-22; Folding, Three-Tier; 40 x 25 cm, Steel
        Muffin Tray; 10-28; Silicone, Non-Stick; 12 Cups, Mini
        Dough Scraper; 5-14; Steel, Flexible; with Scale, Wooden Handle
        Hand Mixer; 25-90; Five-Speed, Cordless; 400 W, with Dough Hooks
        Bread Flour; 4-14; Strong White, Wholegrain, Rye; 1.5 kg, Stoneground
        Loaf Pan; 9-26; Lidded, Ceramic; 900 g, for Sandwich Bread
        """,
        women=0.4,
    ),
    Category(
        "Kitchen > Tea",
        ("Leafhaven", "Camellia Road", "Steep & Co", "Oolara"),
        """
        Green Tea; 6-25; Sencha, Jasmine, Organic; Loose Leaf, 100 g
        Black Tea; 5-22; Darjeeling, Assam, Smoky; First Flush, Loose Leaf, 250 g
        Teapot; 22-70; Cast Iron, Glass, Porcelain; with Infuser, 800 ml
        Matcha Whisk; 8-20; Bamboo, Handmade; with Holder, 100 Prongs
        Tea Strainer; 5-15; Fine Mesh, Folding; Stainless Steel, with Drip Bowl
        Oolong Tea; 9-35; Roasted, High Mountain; 50 g, Hand Picked
        Tea Caddy; 9-28; Airtight, Lacquered; 150 g, Cherry Bark
        Tea Cups; 14-45; Porcelain, Double-Walled; Pair, with Saucers
        Matcha Powder; 12-40; Ceremonial, Culinary; 30 g, from Uji
        Herbal Tea; 4-14; Peppermint, Rooibos, Chamomile; 20 Bags, Caffeine Free
        """,
        age=0.3,
        women=0.2,
    ),
    Category(
        "Baby > Baby care",
        ("Pipkin", "Tiny Harbour", "Lullabee", "Moonmilk"),
        """
        Baby Bath Thermometer; 8-20; Digital, Floating; Duck, with Alarm
        Muslin Cloths; 12-28; Organic, Soft; Pack of 4, Grey Stars
        Changing Mat; 18-50; Wipeable, Portable; 70 x 50 cm, with Pocket
        Baby Monitor; 45-150; Video, Audio; Night Vision, Long Range
        Nursing Pillow; 25-60; Washable, Adjustable; Organic Cover, Sage
        Baby Bottles; 10-35; Anti-Colic, Glass; Pack of 3, 240 ml
        Nappy Bag; 30-95; Backpack, Quilted; with Bottle Pocket, Olive
        Baby Sleeping Bag; 22-55; Summer, Winter; 0-6 Months, 1.0 Tog
        Baby Nail Clippers; 5-15; Rounded, Electric; with File, for Newborns
        Baby Bathtub; 20-60; Foldable, Ergonomic; with Drain, Mint
        """,
        age=-0.4,
        women=0.4,
    ),
    Category(
        "Toys > Wooden toys",
        ("Timberlings", "Oak & Acorn", "Holzini", "Nibble Wood"),
        """
        Wooden Building Blocks; 18-60; Natural, Painted; 50 Pieces, in Cotton Bag
        Wooden Train; 20-75; Magnetic, Classic; with Rails, from 3 Years
        Shape Sorter; 14-32; Wooden, First; from 12 Months, Bright Colours
        Pull-Along Dog; 14-30; Wooden, Wagging; from 18 Months, Beech
        Toy Kitchen; 60-140; Wooden, Corner; with Accessories, from 3 Years
        Rainbow Stacker; 18-50; Wooden, Large; 7 Arches, Pastel
        Animal Puzzle; 9-24; Wooden, Chunky; 8 Pieces, Farm
        Marble Run; 25-80; Wooden, Tall; 60 Pieces, from 4 Years
        Wooden Play Food; 14-38; Cutting, Painted; Fruit and Vegetables, with Crate
        Dolls House; 55-150; Wooden, Furnished; Three Floors, from 3 Years
        """,
        women=0.2,
    ),
    Category(
        "Hobbies > Watercolour painting",
        ("Aquarelle House", "Pigmenta", "Wash & Line", "Sable Row"),
        """
        Watercolour Paints; 15-90; Half Pan, Artist, Travel; 24 Colours, in Metal Tin
        Watercolour Paper; 9-40; Cold Pressed, Hot Pressed; A4, 300 gsm, 20 Sheets
        Watercolour Brushes; 12-70; Sable, Synthetic; Round, 6 Pieces
        Masking Fluid; 5-14; Peelable, Tinted; 75 ml, with Fine Tip
        Mixing Palette; 6-28; Porcelain, Folding; 18 Wells, with Thumb Hole
        Watercolour Pencils; 12-60; Artist, Soft; 36 Colours, with Brush
        Table Easel; 25-75; Beech, Folding; with Drawer, Adjustable
        Water Brush Pens; 8-22; Refillable, Leakproof; 3 Sizes, Pack of 4
        Watercolour Sketchbook; 10-35; Hardback, Spiral; A5, 48 Pages
        Gouache Paints; 14-55; Opaque, Matt; 18 Tubes, 12 ml
        """,
        age=0.2,
        women=0.4,
    ),
    Category(
        "Hobbies > Knitting",
        ("Woolhope", "Purl Lane", "Fleece & Fibre", "Skeinwell"),
        """
        Knitting Yarn; 5-24; Merino, Chunky, Alpaca; 100 g, Heather Blue
        Knitting Needles; 7-45; Circular, Bamboo, Interchangeable; 4.5 mm, 80 cm
        Stitch Markers; 4-12; Locking, Brass; 20 Pieces, in Tin
        Knitting Bag; 15-50; Canvas, Roll-Top; with Yarn Guide, Mustard
        Row Counter; 4-12; Digital, Clicking; with Finger Strap, Blue
        Crochet Hooks; 8-35; Ergonomic, Aluminium; 9 Sizes, in Case
        Sock Yarn; 8-26; Self-Striping, Hand-Dyed; 100 g, Superwash
        Yarn Winder; 25-65; Wooden, Hand-Operated; with Clamp, Large
        Cable Needles; 4-11; Bent, Maple; 3 Sizes, Pair
        Blocking Mats; 18-40; Interlocking, Gridded; Pack of 9, with Pins
        """,
        age=0.4,
        women=0.8,
    ),
    Category(
        "Hobbies > Model railways",
        ("Branchline", "Halt & Siding", "Gauge North", "Dampfer"),
        """
        Steam Locomotive Model; 90-290; H0 Scale, N Scale; with Sound, Era III, Digital
        Freight Wagon Model; 18-55; H0 Scale, Weathered; Brown, with Load
        Model Railway Track; 20-90; H0 Scale, Flexible; 12 Pieces, with Points
        Railway Station Kit; 25-80; N Scale, Detailed; to Build, with Lighting
        Signal Mast; 12-40; LED, Working; Two Aspects, H0 Scale
        Model Trees; 9-35; Deciduous, Pine; Pack of 15, 8-12 cm
        Passenger Coach Model; 30-85; H0 Scale, Lit; Second Class, Green Livery
        Digital Train Controller; 90-260; Wireless, Handheld; with Display, Starter
        Track Ballast; 5-14; Grey, Fine; 300 g, for H0
        Level Crossing Model; 25-70; Working, H0 Scale; with Barriers, Kit
        """,
        age=0.6,
        women=-0.8,
    ),
    Category(
        "Hobbies > Photography",
        ("Lumenar", "Obscura Works", "Fstop Lane", "Prismic"),
        """
        Camera Tripod; 40-220; Carbon, Compact, Travel; with Ball Head, 150 cm
        ND Filter; 20-110; Variable, Slim; 77 mm, 67 mm
        Camera Bag; 35-160; Padded, Weatherproof; for Mirrorless, Sling
        Camera Strap; 15-60; Leather, Quick Release; Black, Neck and Wrist
        Macro Lens; 180-420; Manual, Full Frame; 90 mm, f/2.8
        Lens Cleaning Kit; 9-25; Lint-Free, Pocket; with Blower, 8 Pieces
        Camera Battery; 18-60; Spare, High Capacity; Twin Pack, with Charger
        Softbox; 35-110; Octagonal, Folding; 90 cm, with Grid
        Remote Shutter Release; 12-45; Wireless, Wired; with Timer, 100 m
        Prime Lens; 120-380; Fast, Compact; 50 mm f/1.8, 35 mm f/2
        """,
    ),
    Category(
        "Garden > Vegetable growing",
        ("Plotwell", "Greenrow", "Harrow & Hoe", "Seedmarsh"),
        """
        Tomato Seeds; 3-8; Heirloom, Cherry, Early; 50 Seeds, for Greenhouses
        Raised Garden Bed; 35-130; Galvanised, Cedar; 120 x 60 cm, with Liner
        Vegetable Fertiliser; 7-22; Organic, Slow Release; 1 kg, with Seaweed
        Seed Trays; 8-25; Reusable, Deep; Pack of 10, with Lids
        Garden Trowel; 9-28; Stainless Steel, Narrow; Ash Handle, with Depth Marks
        Grow Tunnel; 18-50; Fleece, Mesh; 3 m, Frost Protection
        Runner Bean Seeds; 3-7; Stringless, Scarlet; 40 Seeds, High Yield
        Plant Supports; 9-30; Bamboo, Spiral; Pack of 10, 150 cm
        Watering Can; 12-45; Galvanised, Long Reach; 9 Litres, with Rose
        Compost Bin; 25-95; Rotating, Wooden; 220 Litres, with Hatch
        """,
        season=(2, 3, 4, 5, 6, 7, 8),
        age=0.4,
    ),
    Category(
        "Garden > Bird feeding",
        ("Featherstone", "Wren & Finch", "Hedgerow", "Chirrup"),
        """
        Bird Feeder; 9-40; Hanging, Squirrel-Proof, Window; 6 Ports, Easy Clean
        Sunflower Hearts; 6-28; No Mess, High Energy; 2 kg, for Wild Birds
        Suet Balls; 6-24; Insect, Berry; Tub of 50, No Nets
        Nesting Box; 14-45; Cedar, Woodcrete; for Blue Tits, 32 mm Hole
        Bird Bath; 20-75; Stone, Heated; 40 cm, on Stand
        Peanut Feeder; 9-28; Steel Mesh, Hanging; 30 cm, for Woodpeckers
        Wild Bird Seed; 6-30; No Wheat, Ground Feeding; 5 kg, All Year
        Bird Table; 30-95; Roofed, Larch; 150 cm, Free-Standing
        Dried Mealworms; 7-30; Whole, Protein-Rich; 1 kg, for Robins
        Feeder Pole; 15-50; Four-Arm, Sturdy; 2 m, with Ground Spike
        """,
        season=(1, 2, 3, 10, 11, 12),
        age=0.6,
    ),
    Category(
        "Games > Board games",
        ("Meeple Forge", "Tabletop Lane", "Rookhouse", "Dicewright"),
        """
        Castle Builders Board Game; 25-60; Strategy, Two-Player; 2-4 Players, from 10 Years
        Harbour Masters Board Game; 30-70; Economic, Deluxe; 3-5 Players, 90 Minutes
        Night Market Card Game; 10-25; Family, Quick; 2-6 Players, 30 Minutes
        Volcano Dice Game; 10-22; Push-Your-Luck, Travel; from 8 Years, 20 Minutes
        Forest Spirits Board Game; 25-55; Cooperative, Illustrated; 1-4 Players, Second Edition
        Chess Board; 20-90; Wooden, Folding; 40 cm, with Pieces
        Board Game Expansion; 15-40; Fifth Player, Seafaring; for Castle Builders, English Edition
        Card Sleeves; 4-12; Matt, Clear; Pack of 100, 63 x 88 mm
        Old Manor Deduction Game; 18-45; Narrative, Cooperative; 3-6 Players, 60 Minutes
        Letterfall Word Game; 14-35; Fast, Family; from 10 Years, 2-8 Players
        """,
        age=-0.2,
    ),
    Category(
        "Games > Video gaming",
        ("Pixelrift", "Hexon", "Arcadium", "Quantum Pad"),
        """
        Game Controller; 30-90; Wireless, Pro; for PC and Console, with Paddles
        Gaming Headset; 35-160; Wireless, Surround; with Microphone, Black
        Gaming Mouse; 25-110; Ultralight, Ergonomic; 16000 DPI, RGB
        Gaming Keyboard; 45-170; Mechanical, Compact; Red Switches, RGB
        Racing Wheel; 110-320; Force Feedback, Leather; with Pedals, 900 Degrees
        Gaming Mouse Pad; 9-35; Extended, Hard; 90 x 40 cm, Stitched
        Controller Charging Dock; 14-40; Dual, Fast; with LED, USB-C
        Console Carry Case; 14-40; Hard Shell, Slim; for Handheld, 20 Games
        Thumb Grips; 6-15; Textured, Tall; Pack of 4, for Controllers
        Capture Card; 60-190; 4K, External; Low Latency, HDMI
        """,
        age=-0.7,
        women=-0.5,
    ),
    Category(
        "Home > Lighting",
        ("Glimmerton", "Lampwright", "Halo & Oak", "Nordlys"),
        """
        Floor Lamp; 45-170; Arched, Tripod; Matt Black, with Dimmer
        Pendant Light; 35-150; Rattan, Brass, Glass; 40 cm, for Dining Table
        Table Lamp; 22-90; Ceramic, Touch; with Linen Shade, 35 cm
        LED Bulbs; 7-28; Warm White, Filament; E27, Pack of 3
        Wall Light; 22-85; Plug-In, Up-and-Down; Brass, Indoor
        String Lights; 12-45; Warm White, Solar; 10 m, 100 LED
        Bedside Lamp; 18-60; Dimmable, Cordless; USB, Oak
        Ceiling Light; 30-130; Flush, Three-Arm; 3000 K, Round
        Lamp Shade; 14-50; Linen, Pleated; 30 cm, Cream
        LED Light Strip; 14-55; Colour-Changing, Dimmable; 5 m, with Remote
        """,
    ),
    Category(
        "Home > Home office",
        ("Deskwell", "Paperlane", "Ergon & Fils", "Quietroom"),
        """
        Office Chair; 110-390; Ergonomic, Mesh; with Lumbar Support, Grey
        Standing Desk; 190-480; Electric, Walnut; 140 x 70 cm, with Memory
        Monitor Arm; 35-130; Single, Dual; up to 32 Inch, Gas Spring
        Laptop Stand; 20-60; Aluminium, Foldable; Adjustable Height, Silver
        Desk Organiser; 14-40; Bamboo, Rotating; 5 Compartments, Black
        Footrest; 20-60; Tilting, Cushioned; under Desk, Adjustable
        Filing Cabinet; 70-190; Lockable, Two-Drawer; A4, White
        Desk Mat; 14-45; Felt, Vegan Leather; 80 x 40 cm, Anthracite
        Document Tray; 12-35; Stackable, Mesh; 3 Tiers, A4
        Cable Management Box; 12-35; Wooden, Large; for Power Strips, White
        """,
    ),
    Category(
        "Music > Guitar playing",
        ("Fretwood", "Sixstring Alley", "Tonehaus", "Marlow Strings"),
        """
        Acoustic Guitar; 110-420; Spruce Top, Three-Quarter; with Gig Bag, Sunburst
        Guitar Strings; 6-20; Bronze, Nickel, Nylon; Light Gauge, Pack of 3
        Guitar Tuner; 10-35; Clip-On, Pedal; with Display, Chromatic
        Guitar Capo; 8-28; Spring, Adjustable; for Acoustic, Black
        Guitar Strap; 12-50; Leather, Woven; Adjustable, Brown
        Guitar Picks; 4-14; Celluloid, Assorted; Pack of 12, 0.73 mm
        Guitar Stand; 14-45; Folding, Wall; Padded, for Acoustic and Electric
        Guitar Amplifier; 80-290; Practice, Tube; 20 W, with Headphone Output
        Overdrive Pedal; 45-160; Analogue, Compact; True Bypass, 9 V
        Guitar Song Book; 12-28; Fingerstyle, Beginner's; 50 Songs, with Tabs
        """,
        women=-0.2,
    ),
    Category(
        "Pets > Dog care",
        ("Waggle & Co", "Barkley's", "Houndsmere", "Pawprint"),
        """
        Dog Harness; 18-50; No-Pull, Reflective; Size M, for Large Breeds
        Dog Bed; 30-120; Orthopaedic, Washable; 90 cm, Grey
        Dog Lead; 9-35; Retractable, Rope; 5 m, with Padded Handle
        Dog Chew Toy; 6-20; Durable, Rubber; for Strong Chewers, Squeaky
        Dry Dog Food; 15-75; Grain Free, Puppy; with Salmon, 12 kg
        Dog Brush; 9-30; Deshedding, Soft; for Long Hair, Self-Cleaning
        Dog Treats; 4-18; Natural, Training; with Chicken, 200 g
        Dog Bowl; 8-35; Slow Feeding, Ceramic; 1 Litre, Non-Slip
        Dog Shampoo; 7-20; Oatmeal, Hypoallergenic; 500 ml, for Itchy Skin
        Dog Coat; 20-65; Waterproof, Quilted; Back Length 45 cm, Navy
        """,
    ),
    Category(
        "Pets > Aquariums",
        ("Aqualume", "Reefkeeper", "Tetralis", "Clearbrook"),
        """
        Aquarium Tank; 60-260; Glass, Nano; 60 Litres, with Lid
        Aquarium Filter; 20-140; External, Quiet; up to 120 Litres, with Media
        Aquarium Heater; 15-50; Submersible, Adjustable; 100 W, with Thermostat
        Tropical Fish Food; 4-18; Flake, Granulated; 250 ml, Colour Enhancing
        Aquarium Gravel; 7-25; Natural, Black; 5 kg, Fine
        Aquarium Plants; 9-35; Live, Easy; 10 Stems, for Shrimp Tanks
        Water Test Strips; 8-28; 6-in-1, Quick; 50 Tests, Freshwater
        Aquarium Air Pump; 12-45; Silent, Adjustable; Two Outlets, with Tubing
        Algae Scraper; 8-28; Magnetic, Long-Handled; Floating, for Glass
        Aquarium Light; 30-130; LED, Dimmable; 60 cm, for Planted Tanks
        """,
        women=-0.3,
    ),
    Category(
        "Beauty > Skin care",
        ("Dewlane", "Botanelle", "Clair & Calm", "Solenne"),
        """
        Face Serum; 12-60; Vitamin C, Hyaluronic; 30 ml, for Dull Skin
        Face Moisturiser; 10-55; Fragrance-Free, Rich, Light; 50 ml, for Dry Skin
        Facial Cleanser; 8-30; Gentle, Foaming; 200 ml, for Sensitive Skin
        Clay Face Mask; 9-28; Purifying, Pink; 75 ml, Vegan
        Face Sunscreen; 10-35; Mineral, Invisible; SPF 50, 50 ml
        Eye Cream; 12-50; Caffeine, Firming; 15 ml, for Dark Circles
        Face Toner; 8-28; Rose, Alcohol-Free; 200 ml, with Witch Hazel
        Lip Balm; 3-12; Shea, Tinted; SPF 15, Pack of 3
        Exfoliating Peel; 12-45; Lactic Acid, Mild; 30 ml, Weekly
        Hand Cream; 5-20; Almond, Repairing; 75 ml, Non-Greasy
        """,
        women=0.8,
    ),
    Category(
        "DIY > Woodworking",
        ("Chisholm Tools", "Benchdog", "Grain & Gouge", "Ironvale"),
        """
        Wood Chisels; 18-95; Bevel Edge, Mortise; 4 Pieces, 25 mm
        Japanese Pull Saw; 20-60; Double-Edged, Flush Cut; 240 mm, Spare Blade
        Block Plane; 30-130; Low Angle, Bronze; 150 mm, Adjustable
        Wood Clamps; 12-60; Quick Release, Bar; Pack of 4, 60 cm
        Sharpening Stone; 18-75; Diamond, Water; 1000/6000 Grit, with Base
        Router Bits; 20-80; Carbide, Roundover; 12 Pieces, 8 mm Shank
        Wood Glue; 5-18; Waterproof, Fast; 750 g, Food Safe
        Marking Gauge; 12-45; Wheel, Rosewood; 200 mm, with Brass
        Mitre Saw; 90-290; Sliding, Cordless; 216 mm, with Laser
        Sanding Discs; 8-25; Hook-and-Loop, Mesh; 125 mm, Pack of 50
        """,
        age=0.3,
        women=-0.7,
    ),
)

CITIES: Final = ("Aldwick", "Brennhaven", "Corsby", "Dunmarsh", "Elverton", "Farrowgate", "Glenmouth", "Hartsea")

_PATTERNS: Final = ("{b} {m} {p}, {d}", "{b} {m} {p}, {d}", "{b} {p} - {m}, {d}", "{m} {p} by {b} ({d})", "{b} {m} {p}")


def catalogue(seed: int) -> list[Item]:
    """The shop's items, those of a category in order of popularity, the categories in the order of `CATEGORIES`."""
    rng = random.Random(f"shop:{seed}")
    items: list[Item] = []
    for number, category in enumerate(CATEGORIES):
        products = [[part.strip() for part in line.split(";")] for line in category.products.strip().splitlines()]
        chosen = rng.sample(products, len(products)) + rng.sample(products, ITEMS_PER_CATEGORY - len(products))
        taken: set[tuple[str, str]] = set()
        for name, prices, modifiers, details in chosen:
            brand = rng.choice([brand for brand in category.brands if (brand, name) not in taken])
            taken.add((brand, name))
            modifier, detail = rng.choice(modifiers.split(", ")), rng.choice(details.split(", "))
            title = rng.choice(_PATTERNS).format(b=brand, m=modifier, p=name, d=detail)
            low, high = map(int, prices.split("-"))
            plain = name.lower()
            queries = (plain, plain, f"{modifier.lower()} {plain}", f"{plain} {detail.lower()}")
            price = int(low + (high - low) * rng.random() ** 1.5) + 0.99
            items.append(Item(f"i{len(items) + 1:04d}", title, number, brand, price, queries))
    return items
