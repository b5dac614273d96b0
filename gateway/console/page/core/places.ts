/** Where regions are, as clouds name them: longitude and latitude of the city, rounded to half a degree. Pure. */

export interface Place {
  readonly longitude: number;
  readonly latitude: number;
  readonly city: string;
}

const place = (longitude: number, latitude: number, city: string): Place => ({ longitude, latitude, city });

const virginia = place(-77.5, 39, 'Northern Virginia');
const ohio = place(-83, 40, 'Ohio');
const california = place(-122, 37.5, 'Northern California');
const oregon = place(-121, 45.5, 'Oregon');
const montreal = place(-73.5, 45.5, 'Montréal');
const saoPaulo = place(-46.5, -23.5, 'São Paulo');
const dublin = place(-6.5, 53.5, 'Dublin');
const london = place(0, 51.5, 'London');
const paris = place(2.5, 49, 'Paris');
const frankfurt = place(8.5, 50, 'Frankfurt');
const zurich = place(8.5, 47.5, 'Zürich');
const milan = place(9, 45.5, 'Milan');
const stockholm = place(18, 59.5, 'Stockholm');
const madrid = place(-3.5, 40.5, 'Madrid');
const capeTown = place(18.5, -34, 'Cape Town');
const johannesburg = place(28, -26, 'Johannesburg');
const bahrain = place(50.5, 26, 'Bahrain');
const dubai = place(55.5, 25, 'Dubai');
const telAviv = place(35, 32, 'Tel Aviv');
const mumbai = place(73, 19, 'Mumbai');
const hyderabad = place(78.5, 17.5, 'Hyderabad');
const singapore = place(104, 1.5, 'Singapore');
const jakarta = place(107, -6, 'Jakarta');
const hongKong = place(114, 22.5, 'Hong Kong');
const taiwan = place(120.5, 24, 'Taiwan');
const seoul = place(127, 37.5, 'Seoul');
const tokyo = place(139.5, 35.5, 'Tokyo');
const osaka = place(135.5, 34.5, 'Osaka');
const sydney = place(151, -34, 'Sydney');
const melbourne = place(145, -38, 'Melbourne');

const places: Readonly<Record<string, Place>> = {
  'us-east-1': virginia,
  'us-east-2': ohio,
  'us-west-1': california,
  'us-west-2': oregon,
  'ca-central-1': montreal,
  'ca-west-1': place(-114, 51, 'Calgary'),
  'mx-central-1': place(-100.5, 20.5, 'Querétaro'),
  'sa-east-1': saoPaulo,
  'eu-west-1': dublin,
  'eu-west-2': london,
  'eu-west-3': paris,
  'eu-central-1': frankfurt,
  'eu-central-2': zurich,
  'eu-south-1': milan,
  'eu-south-2': madrid,
  'eu-north-1': stockholm,
  'af-south-1': capeTown,
  'me-south-1': bahrain,
  'me-central-1': dubai,
  'il-central-1': telAviv,
  'ap-south-1': mumbai,
  'ap-south-2': hyderabad,
  'ap-southeast-1': singapore,
  'ap-southeast-2': sydney,
  'ap-southeast-3': jakarta,
  'ap-southeast-4': melbourne,
  'ap-southeast-5': place(101.5, 3, 'Kuala Lumpur'),
  'ap-southeast-7': place(100.5, 14, 'Bangkok'),
  'ap-east-1': hongKong,
  'ap-east-2': taiwan,
  'ap-northeast-1': tokyo,
  'ap-northeast-2': seoul,
  'ap-northeast-3': osaka,
  'us-east1': place(-80, 33, 'South Carolina'),
  'us-east4': virginia,
  'us-east5': ohio,
  'us-central1': place(-96, 41, 'Iowa'),
  'us-south1': place(-97, 33, 'Dallas'),
  'us-west1': oregon,
  'us-west2': place(-118, 34, 'Los Angeles'),
  'us-west3': place(-112, 40.5, 'Salt Lake City'),
  'us-west4': place(-115, 36, 'Las Vegas'),
  'northamerica-northeast1': montreal,
  'northamerica-northeast2': place(-79.5, 43.5, 'Toronto'),
  'southamerica-east1': saoPaulo,
  'southamerica-west1': place(-70.5, -33.5, 'Santiago'),
  'europe-west1': place(4, 50.5, 'Belgium'),
  'europe-west2': london,
  'europe-west3': frankfurt,
  'europe-west4': place(6, 53, 'Netherlands'),
  'europe-west6': zurich,
  'europe-west8': milan,
  'europe-west9': paris,
  'europe-southwest1': madrid,
  'europe-central2': place(21, 52, 'Warsaw'),
  'europe-north1': place(27, 60.5, 'Finland'),
  'africa-south1': johannesburg,
  'me-west1': telAviv,
  'me-central1': place(51.5, 25.5, 'Doha'),
  'asia-south1': mumbai,
  'asia-south2': place(77, 28.5, 'Delhi'),
  'asia-southeast1': singapore,
  'asia-southeast2': jakarta,
  'asia-east1': taiwan,
  'asia-east2': hongKong,
  'asia-northeast1': tokyo,
  'asia-northeast2': osaka,
  'asia-northeast3': seoul,
  'australia-southeast1': sydney,
  'australia-southeast2': melbourne,
  eastus: virginia,
  eastus2: virginia,
  centralus: place(-93.5, 41.5, 'Iowa'),
  southcentralus: place(-98.5, 29.5, 'San Antonio'),
  westus: california,
  westus2: place(-120, 47, 'Washington'),
  westus3: place(-112, 33.5, 'Phoenix'),
  canadacentral: place(-79.5, 43.5, 'Toronto'),
  brazilsouth: saoPaulo,
  northeurope: dublin,
  westeurope: place(5, 52.5, 'Netherlands'),
  uksouth: london,
  francecentral: paris,
  germanywestcentral: frankfurt,
  switzerlandnorth: zurich,
  swedencentral: stockholm,
  norwayeast: place(10.5, 60, 'Oslo'),
  polandcentral: place(21, 52, 'Warsaw'),
  italynorth: milan,
  spaincentral: madrid,
  southafricanorth: johannesburg,
  uaenorth: dubai,
  israelcentral: telAviv,
  centralindia: place(74, 18.5, 'Pune'),
  southeastasia: singapore,
  eastasia: hongKong,
  koreacentral: seoul,
  japaneast: tokyo,
  japanwest: osaka,
  australiaeast: sydney,
};

/** Null for a name that no cloud uses. */
export function placeOf(region: string): Place | null {
  return Object.hasOwn(places, region) ? (places[region] ?? null) : null;
}
